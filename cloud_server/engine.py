"""From the bytes of a request to the bytes of its answer, off the event loop, in one hop."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from cloud_server.model_store import Model, ModelStore
from partitioner.sessions import Stage
from protos.checksums import check_seal, seal
from protos.errors import MismatchError, OverloadedError, TensorError
from protos.inference_pb2 import ModelInferRequest, ModelInferResponse
from protos.messages import pack_response, unpack_request
from protos.names import (
    PARAM_BUNDLE_DIGEST,
    PARAM_CHECKSUM,
    PARAM_COMPUTE_NS,
    PARAM_DECODE_NS,
    PARAM_QUEUE_NS,
)
from protos.tensors import Buffer, TensorSpec
from protos.wire import decode_request

Encode = Callable[[ModelInferResponse, Sequence[Buffer]], bytes]

_OUTPUT_PARAMETERS_REFUSED = ("classification", "shared_memory_region")


class Job:
    """One request between its arrival and its answer. `encode` makes bytes of the answer."""

    def __init__(self, data: bytes, encode: Encode) -> None:
        self.received_ns = time.perf_counter_ns()
        self.encode = encode
        self.header = ModelInferRequest()
        self.stage: Stage | None = None
        """The tail, where it had to be loaded first."""
        self._data = data
        self._raw: list[memoryview] | None = None

    def decode(self) -> tuple[ModelInferRequest, list[memoryview]]:
        """Return the header and views of the tensors' bytes; raises TensorError on broken bytes."""
        if self._raw is None:
            self.header, self._raw = decode_request(self._data)
        return self.header, self._raw


class Engine:
    """Runs jobs on a fixed number of worker threads.

    `max_message_bytes` bounds what coded inputs unfold to, as gRPC bounds what arrives.
    """

    def __init__(
        self, store: ModelStore, workers: int, max_queue: int, max_message_bytes: int
    ) -> None:
        self._store = store
        self._max_queue = max_queue
        self._max_message_bytes = max_message_bytes
        self._inside = 0
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="infer")

    def submit(self, job: Job) -> asyncio.Future[bytes | Model]:
        """Queue a job; the future brings its answer, or the model that must be loaded first.

        It brings OverloadedError at once when as many jobs wait as are allowed.
        """
        loop = asyncio.get_running_loop()
        if self._inside >= self._max_queue:
            with contextlib.suppress(TensorError):
                job.decode()  # the refusal has to name the request
            refused: asyncio.Future[bytes | Model] = loop.create_future()
            refused.set_exception(
                OverloadedError(
                    f"{self._inside} requests are waiting in this server, and no more are taken. "
                    "Try again later, or finish the frame on the edge."
                )
            )
            return refused
        self._inside += 1
        future = loop.run_in_executor(self._executor, self._attempt, job)
        future.add_done_callback(self._left)
        return future

    def _left(self, _future: asyncio.Future[bytes | Model]) -> None:
        self._inside -= 1

    async def answer(self, job: Job) -> bytes:
        """Return the bytes of the answer; raises SplitpointError, the caller's or ours."""
        found = await self.submit(job)
        return found if isinstance(found, bytes) else await self.load_and_answer(job, found)

    async def load_and_answer(self, job: Job, model: Model) -> bytes:
        """Return the answer of a job whose tail was not in memory. Loading counts as queueing."""
        job.stage = await self._store.load(model)
        found = await self.submit(job)
        if not isinstance(found, bytes):
            raise RuntimeError(f"{model.name} was loaded for a job and asked for again")
        return found

    def close(self) -> None:
        """Drop the jobs that wait; those that run end by themselves."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _attempt(self, job: Job) -> bytes | Model:
        started_ns = time.perf_counter_ns()
        header, raw = job.decode()
        check_seal(header, raw)
        model = self._store.find(header.model_name, header.model_version)
        _check_digest(header, model)
        outputs = _requested(header, model)
        values = unpack_request(
            header, raw, model.inputs, model.bundle.ranges, self._max_message_bytes
        )
        stage = job.stage or self._store.loaded(model)
        if stage is None:
            return model
        decoded_ns = time.perf_counter_ns()
        results = stage.run(values)
        computed_ns = time.perf_counter_ns()
        answer, buffers = pack_response(header.model_name, header.id, results, outputs)
        answer.parameters[PARAM_QUEUE_NS].int64_param = started_ns - job.received_ns
        answer.parameters[PARAM_DECODE_NS].int64_param = decoded_ns - started_ns
        answer.parameters[PARAM_COMPUTE_NS].int64_param = computed_ns - decoded_ns
        if PARAM_CHECKSUM in header.parameters:
            seal(answer, buffers)
        return job.encode(answer, buffers)


def check_digest(found: str, model_bundle: str, wanted: str) -> None:
    """Raise MismatchError if a caller says `found` for the digest of a bundle; empty: it does not say."""
    if found and found != wanted:
        raise MismatchError(
            f"the edge's bundle {model_bundle!r} has the digest {found[:12]}…, the server's "
            f"{wanted[:12]}…. Give both the same bundle: fetch it from this server, or restart the "
            "server with the edge's."
        )


def _check_digest(header: ModelInferRequest, model: Model) -> None:
    if PARAM_BUNDLE_DIGEST in header.parameters:
        digest = header.parameters[PARAM_BUNDLE_DIGEST].string_param
        check_digest(digest, model.bundle.name, model.bundle.digest)


def _requested(header: ModelInferRequest, model: Model) -> Sequence[TensorSpec]:
    if not header.outputs:
        return model.outputs
    known = {spec.name: spec for spec in model.outputs}
    for output in header.outputs:
        if output.name not in known:
            raise TensorError(
                f"model {model.name!r} has no output {output.name!r}. It has: {', '.join(known)}. "
                "Ask for these, or for none to get all."
            )
        for key in _OUTPUT_PARAMETERS_REFUSED:
            if key in output.parameters:
                raise TensorError(
                    f"output {output.name!r} asks for {key}, which this server does not offer. "
                    "Ask for the plain tensor."
                )
    return [known[output.name] for output in header.outputs]
