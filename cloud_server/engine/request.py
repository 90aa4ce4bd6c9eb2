"""A request of the engine: what its header says, before anything of its tensors is read."""

import asyncio
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cloud_server.engine.batch_queue import Waiting
from cloud_server.engine.batch_rules import BatchRules, TimeoutAction
from cloud_server.engine.compute_costs import ComputeCosts
from cloud_server.models.version import Model
from partitioner.runtime.sessions import Stage
from protos.errors import LateError
from protos.inference_pb2 import InferParameter, ModelInferRequest
from protos.names import PARAM_CODEC, PARAM_PRIORITY, PARAM_TIMEOUT
from protos.serving.answers import Job
from protos.tensors import BATCH_SIZE, Buffer, TensorSpec


@dataclass(eq=False, slots=True, kw_only=True)
class Request(Waiting):
    """One request that the engine has let in. `opened_ns`: what its tail took to come, 0 if it was there."""

    job: Job
    served: Model
    stage: Stage
    future: asyncio.Future[Any]
    opened_ns: int = 0

    def is_late(self, now_ns: int) -> bool:
        """Tell whether it shall not be computed any more."""
        action = self.rules.policy(self.level).timeout_action
        timed_out = self.late_ns <= now_ns and action is TimeoutAction.REJECT
        return timed_out or self.expires_ns <= now_ns


def request_of(
    job: Job,
    model: Model,
    stage: Stage,
    future: asyncio.Future[Any],
    rules: BatchRules,
    costs: ComputeCosts,
    max_decoded_bytes: int,
) -> Request:
    """Return the request of a job whose header was decoded; nothing of it has been checked yet.

    What its coded inputs unfold to is at most `max_decoded_bytes`, or it is refused later.
    """
    header, raw = job.decode()
    rows = _rows(header, raw, model.inputs, max_decoded_bytes)
    level = rules.level(_whole_number(header.parameters, PARAM_PRIORITY))
    timeout_us = rules.policy(level).timeout_us(_whole_number(header.parameters, PARAM_TIMEOUT))
    return Request(
        job=job,
        served=model,
        stage=stage,
        future=future,
        model=model.name,
        caller=job.caller,
        rows=max(1, rows),
        nbytes=sum(map(len, raw)),
        cost_s=costs.predict(model.name, max(1, rows)),
        arrived_ns=job.received_ns,
        rules=rules,
        key=(stage, model.owner, *_layout(header)) if rules.max_batch_size > 1 and rows else None,
        level=level,
        expires_ns=job.expires_ns,
        late_ns=job.received_ns + 1000 * timeout_us if timeout_us else math.inf,
    )


def _rows(
    header: ModelInferRequest,
    raw: Sequence[Buffer],
    inputs: tuple[TensorSpec, ...],
    max_decoded_bytes: int,
) -> int:
    """Return the rows of a request; 0 where it does not say one number for all of its inputs.

    And 0 where its bytes cannot be so many rows: what waits is reckoned by them, and a lie counts for
    nothing until it is found out.
    """
    specs = {spec.name: spec for spec in inputs if BATCH_SIZE in spec.shape}
    found = set()
    for at, tensor in enumerate(header.inputs):
        spec = specs.get(tensor.name)
        data = raw[at] if at < len(raw) else None
        found.add(_rows_in(tensor, data, spec, max_decoded_bytes) if spec else 0)
    return found.pop() if len(found) == 1 else 0


def _rows_in(
    tensor: ModelInferRequest.InferInputTensor,
    data: Buffer | None,
    spec: TensorSpec,
    max_decoded_bytes: int,
) -> int:
    axis = spec.shape.index(BATCH_SIZE)
    rows = tensor.shape[axis] if axis < len(tensor.shape) else 0
    item_bytes = np.dtype(spec.dtype).itemsize
    row_bytes = item_bytes if spec.is_data_sized else spec.nbytes()
    if PARAM_CODEC in tensor.parameters:
        most_bytes = max(max_decoded_bytes, row_bytes)
    elif data is not None:
        most_bytes = len(data)
    else:
        most_bytes = (
            item_bytes * tensor.ByteSize()
        )  # a number takes one byte of the message at least
    return rows if 0 < rows * row_bytes <= most_bytes else 0


def _layout(header: ModelInferRequest) -> tuple[Hashable, ...]:
    """Return what requests must have in common to be computed together, beside the tail."""
    return tuple(
        sorted(
            (tensor.name, tensor.datatype, tensor.parameters[PARAM_CODEC].string_param)
            if PARAM_CODEC in tensor.parameters
            else (tensor.name, tensor.datatype, "")
            for tensor in header.inputs
        )
    )


def _whole_number(parameters: Mapping[str, InferParameter], key: str) -> int:
    """Return a parameter that clients write as a signed or an unsigned number; 0 where it is absent."""
    if key not in parameters:
        return 0
    return parameters[key].int64_param or parameters[key].uint64_param


def late(request: Request) -> LateError:
    """Return what the caller of a request gets that was not computed in time."""
    return LateError(
        f"the request has waited for {request.model} for longer than its timeout. Allow more, "
        "or try again later."
    )
