"""A batch: requests are decoded and checked one by one, computed together, and answered one by one."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cloud_server.engine.compute_costs import ComputeCosts
from cloud_server.engine.request import Request, late
from partitioner.runtime.row_independence import batch_axis
from protos.errors import FaultError, plural
from protos.names import (
    PARAM_BATCH_SIZE,
    PARAM_CHECKSUM,
    PARAM_COMPUTE_NS,
    PARAM_DECODE_NS,
    PARAM_OPEN_NS,
    PARAM_QUEUE_NS,
)
from protos.serving.answers import ServedKey, Spent, requested_outputs
from protos.tensors import Array, TensorSpec
from protos.wire.checksums import check_seal, seal
from protos.wire.messages import pack_response, unpack_request

Outcome = tuple[Request, bytes | Exception]
Execution = tuple[ServedKey, int, int, int, int]
"""Of one run of a graph: the model, its rows, and the nanoseconds of decode, compute and encode."""


class _Decoded(NamedTuple):
    """One request whose tensors are there and as they should be."""

    request: Request
    values: Mapping[str, Array]
    outputs: Sequence[TensorSpec]
    decode_ns: int


class _Computed(NamedTuple):
    """What one request got: its own rows; its share of the time; and the rows that ran together."""

    results: Mapping[str, Array] | Exception
    compute_ns: int
    batch_rows: int


class BatchRun:
    """One batch on a worker's thread; see Engine for `max_decoded_bytes`. Neither method raises."""

    def __init__(self, costs: ComputeCosts, max_decoded_bytes: int) -> None:
        self.executions: list[Execution] = []
        """What the graph ran for, once there are answers."""
        self._costs = costs
        self._max_decoded_bytes = max_decoded_bytes
        self._decoded: list[_Decoded] = []

    def refused(self, requests: Sequence[Request]) -> Iterator[Outcome]:
        """Decode and check each request alone; yield those that are not computed, as soon as that is clear.

        A request that nobody waits for any more is left out.
        """
        for request in requests:
            if request.future.done():
                continue
            if request.is_late(time.perf_counter_ns()):
                yield request, late(request)
                continue
            try:
                self._decoded.append(self._decode(request))
            except Exception as error:  # noqa: BLE001 - it is the answer to this request alone
                yield request, error

    def answers(self) -> list[Outcome]:
        """Compute what was not refused; return what becomes of it."""
        found = self._compute(self._decoded)
        answers = [
            (one.request, _answer(one, computed))
            for one, computed in zip(self._decoded, found, strict=True)
        ]
        jobs = [one.request.job for one in self._decoded]
        ran = [job.spent.execution for job in jobs if job.spent]
        if len(ran) > 1 and found[0].batch_rows > self._decoded[0].request.rows:
            ran = [_sum(ran)]
        self.executions = [(jobs[0].served, *parts) for parts in ran]
        return answers

    def _decode(self, request: Request) -> _Decoded:
        begun_ns = time.perf_counter_ns()
        header, raw = request.job.decode()
        check_seal(header, raw)
        model = request.served
        outputs = requested_outputs(header, model)
        values = unpack_request(
            header, raw, model.inputs, model.bundle.ranges, self._max_decoded_bytes
        )
        return _Decoded(request, values, outputs, time.perf_counter_ns() - begun_ns)

    def _compute(self, decoded: Sequence[_Decoded]) -> list[_Computed]:
        """Compute requests together; each by itself where that fails, as one alone may be to blame."""
        if len(decoded) > 1:
            try:
                return self._compute_together(decoded)
            except Exception:  # noqa: BLE001 - told by those that fail alone
                return [self._compute_alone(one) for one in decoded]
        return [self._compute_alone(one) for one in decoded]

    def _compute_alone(self, one: _Decoded) -> _Computed:
        begun_ns = time.perf_counter_ns()
        results: Mapping[str, Array] | Exception
        try:
            results = one.request.stage.run(one.values)
        except Exception as error:  # noqa: BLE001 - it is the answer to this request alone
            results = error
        took_ns = time.perf_counter_ns() - begun_ns
        self._costs.add(one.request.model, one.request.rows, (one.decode_ns + took_ns) / 1e9)
        return _Computed(results, took_ns, one.request.rows)

    def _compute_together(self, decoded: Sequence[_Decoded]) -> list[_Computed]:
        begun_ns = time.perf_counter_ns()
        first = decoded[0].request
        merged = {
            spec.name: np.concatenate([one.values[spec.name] for one in decoded], batch_axis(spec))
            for spec in first.served.inputs
        }
        sizes = [one.request.rows for one in decoded]
        found = first.stage.run(merged)
        took_ns, rows = time.perf_counter_ns() - begun_ns, sum(sizes)
        busy_ns = took_ns + sum(one.decode_ns for one in decoded)
        self._costs.add(first.model, rows, busy_ns / 1e9)
        shares = _split(found, first.served.outputs, sizes)
        return [
            _Computed(results, took_ns * size // rows, rows)
            for results, size in zip(shares, sizes, strict=True)
        ]


def _sum(parts: Sequence[tuple[int, int, int, int]]) -> tuple[int, int, int, int]:
    rows, decode_ns, compute_ns, encode_ns = (sum(column) for column in zip(*parts, strict=True))
    return rows, decode_ns, compute_ns, encode_ns


def _split(
    found: Mapping[str, Array], outputs: Sequence[TensorSpec], sizes: Sequence[int]
) -> list[dict[str, Array]]:
    """Return each request's own rows of what was computed together; raises FaultError if rows lack."""
    rows = sum(sizes)
    ends = np.cumsum(sizes)[:-1]
    shares: list[dict[str, Array]] = [{} for _ in sizes]
    for spec in outputs:
        array, axis = found[spec.name], batch_axis(spec)
        if array.shape[axis] != rows:
            raise FaultError(
                f"the output {spec.name!r} has {plural(array.shape[axis], 'row')} for {rows}: "
                "its requests cannot be computed together."
            )
        for share, part in zip(shares, np.split(array, ends, axis), strict=True):
            share[spec.name] = part
    return shares


def _answer(one: _Decoded, computed: _Computed) -> bytes | Exception:
    if isinstance(computed.results, Exception):
        return computed.results
    try:
        return _packed(one, computed.results, computed)
    except Exception as error:  # noqa: BLE001 - it is the answer to this request alone
        return error


def _packed(one: _Decoded, results: Mapping[str, Array], computed: _Computed) -> bytes:
    begun_ns = time.perf_counter_ns()
    request, header = one.request, one.request.job.header
    answer, buffers = pack_response(
        header.model_name, header.id, results, one.outputs, request.served.version
    )
    inside_ns = begun_ns - request.arrived_ns
    queue_ns = max(0, inside_ns - one.decode_ns - computed.compute_ns)
    answer.parameters[PARAM_QUEUE_NS].int64_param = queue_ns
    answer.parameters[PARAM_DECODE_NS].int64_param = one.decode_ns
    answer.parameters[PARAM_COMPUTE_NS].int64_param = computed.compute_ns
    if computed.batch_rows > request.rows:
        answer.parameters[PARAM_BATCH_SIZE].int64_param = computed.batch_rows
    if request.opened_ns:
        answer.parameters[PARAM_OPEN_NS].int64_param = request.opened_ns
    if PARAM_CHECKSUM in header.parameters:
        seal(answer, buffers)
    data = request.job.encode(answer, buffers)
    encode_ns = time.perf_counter_ns() - begun_ns
    request.job.spent = Spent(queue_ns, one.decode_ns, computed.compute_ns, encode_ns, request.rows)
    return data
