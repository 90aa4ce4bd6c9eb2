"""The engine: a worker thread turns the bytes of a request into the bytes of its answer."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from cloud_server.models.model_store import Model, ModelStore
from cloud_server.observability.request_book import RequestBook
from partitioner.common.units import plural
from partitioner.runtime.sessions import Stage
from protos.errors import OverloadedError, TensorError
from protos.names import (
    PARAM_CHECKSUM,
    PARAM_COMPUTE_NS,
    PARAM_DECODE_NS,
    PARAM_OPEN_NS,
    PARAM_QUEUE_NS,
)
from protos.serving.answers import Job, Later, Spent, check_digest, requested_outputs
from protos.tensors import BATCH_SIZE, Array
from protos.wire.checksums import check_seal, seal
from protos.wire.messages import pack_response, unpack_request

EXTENSIONS = ("model_stream_infer", "statistics", "splitpoint_tails", "splitpoint_codecs")
"""The extensions that the server offers beyond the protocol."""


class LoadedStage(NamedTuple):
    """A tail that was not in memory when a job first asked for it, and what it took to come."""

    stage: Stage
    took_ns: int


class Engine:
    """Runs jobs on a fixed number of worker threads.

    `max_decoded_bytes` bounds what the coded inputs of a request unfold to, as gRPC bounds what arrives.
    `book` hears of every request, how it ended, and where its time went.
    """

    def __init__(
        self,
        store: ModelStore,
        workers: int,
        max_queue: int,
        max_decoded_bytes: int,
        book: RequestBook | None = None,
    ) -> None:
        self._store = store
        self.book = book or RequestBook()
        self._max_queue = max_queue
        self._max_decoded_bytes = max_decoded_bytes
        self._inside = 0
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="infer")

    def submit(self, job: Job) -> asyncio.Future[bytes | Later]:
        """Queue a job; see Answerer.

        The future brings OverloadedError at once when as many jobs wait as are allowed.
        """
        if self._inside >= self._max_queue:
            with contextlib.suppress(TensorError):
                job.decode()  # the refusal has to name the request
            refused: asyncio.Future[bytes | Later] = asyncio.get_running_loop().create_future()
            refused.add_done_callback(partial(self.book.ended, job))
            refused.set_exception(
                OverloadedError(
                    f"this server has {plural(self._inside, 'request')} waiting, and takes no more. "
                    "Try again later, or finish the frame on the edge."
                )
            )
            return refused
        return self._run(job, None)

    def _run(self, job: Job, loaded: LoadedStage | None) -> asyncio.Future[bytes | Later]:
        self._enter()
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._executor, self._attempt, job, loaded)
        future.add_done_callback(partial(self._left, job))
        return future

    def _enter(self) -> None:
        self._inside += 1
        self.book.pending = self._inside

    def _left(self, job: Job, future: asyncio.Future[Any]) -> None:
        self._inside -= 1
        self.book.pending = self._inside
        self.book.ended(job, future)
        if job.spent:
            self.book.executed(job.served, *job.spent.execution)

    async def load_and_answer(self, job: Job, model: Model) -> bytes:
        """Return the answer of a job whose tail was not in memory. Loading counts as queueing.

        Meanwhile it is inside as those are that wait for a worker, and what was let in is not refused later.
        """
        begun_ns = time.perf_counter_ns()
        loading = asyncio.ensure_future(self._store.load(model))
        self._enter()
        loading.add_done_callback(partial(self._left, job))
        stage = await loading
        found = await self._run(job, LoadedStage(stage, time.perf_counter_ns() - begun_ns))
        if not isinstance(found, bytes):
            raise RuntimeError(f"{model.name} was loaded for a job and asked for again")
        return found

    def close(self) -> None:
        """Drop the jobs that wait; those that run end by themselves."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _attempt(self, job: Job, loaded: LoadedStage | None) -> bytes | Later:
        started_ns = time.perf_counter_ns()
        header, raw = job.decode()
        check_seal(header, raw)
        model = self._store.find(header.model_name, header.model_version)
        job.served = model.name, model.versions[-1]
        check_digest(header, model.bundle.name, model.bundle.digest)
        outputs = requested_outputs(header, model)
        values = unpack_request(
            header, raw, model.inputs, model.bundle.ranges, self._max_decoded_bytes
        )
        stage = loaded.stage if loaded else self._store.loaded(model)
        if stage is None:
            return partial(self.load_and_answer, job, model)
        decoded_ns = time.perf_counter_ns()
        results = stage.run(values)
        computed_ns = time.perf_counter_ns()
        answer, buffers = pack_response(header.model_name, header.id, results, outputs)
        answer.parameters[PARAM_QUEUE_NS].int64_param = started_ns - job.received_ns
        answer.parameters[PARAM_DECODE_NS].int64_param = decoded_ns - started_ns
        answer.parameters[PARAM_COMPUTE_NS].int64_param = computed_ns - decoded_ns
        if loaded:
            answer.parameters[PARAM_OPEN_NS].int64_param = loaded.took_ns
        if PARAM_CHECKSUM in header.parameters:
            seal(answer, buffers)
        data = job.encode(answer, buffers)
        job.spent = Spent(
            queue_ns=started_ns - job.received_ns,
            decode_ns=decoded_ns - started_ns,
            compute_ns=computed_ns - decoded_ns,
            encode_ns=time.perf_counter_ns() - computed_ns,
            rows=_rows(values, model),
        )
        return data


def _rows(values: Mapping[str, Array], model: Model) -> int:
    """Return the batch size of a request; 1 where the model has none."""
    free = (spec for spec in model.inputs if BATCH_SIZE in spec.shape)
    return next((values[spec.name].shape[spec.shape.index(BATCH_SIZE)] for spec in free), 1)
