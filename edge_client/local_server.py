"""The local server: it offers the split model to applications by the Open Inference Protocol."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import fields
from types import TracebackType
from typing import Self

from edge_client import defaults
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.frames.result import Result, Timings
from edge_client.telemetry.health import Health
from partitioner.common.units import plural
from protos import inference_pb2
from protos.errors import OverloadedError, TensorError, UnknownNameError, UsageError
from protos.inference_pb2 import ModelInferRequest, ModelInferResponse
from protos.names import (
    PARAM_CHECKSUM,
    PARAM_CODEC,
    PARAM_CUT,
    PARAM_HEALTH,
    PARAM_REASON,
    PARAM_SERVED_BY,
)
from protos.rpc.addresses import open_listener
from protos.rpc.message_limits import DEFAULT_MAX_MESSAGE_BYTES
from protos.security.exposure import Exposure
from protos.security.server_tls import ServerTls
from protos.security.tls_files import TlsFiles
from protos.serving import inference
from protos.serving.answers import (
    Job,
    Later,
    ServedModel,
    check_digest,
    check_version,
    requested_outputs,
)
from protos.serving.drain import Drain
from protos.serving.oip_server import OipServer, Service
from protos.tensors import Array
from protos.triton.triton_service import TritonService
from protos.wire.checksums import check_seal, seal
from protos.wire.messages import pack_response, unpack_request

CLOUD_SERVICE = "splitpoint.cloud"
"""The name under which grpc.health.v1 tells of the cloud."""

EXTENSIONS = ("model_stream_infer", "model_configuration", "splitpoint_served_by")

OnResult = Callable[[Result, str], None]
"""Hears every result, failed ones too, and the id of its request."""


def unheard(_result: Result, _request_id: str) -> None:
    """Do nothing with a result."""


def exposure_of(tls: TlsFiles | None, *, insecure: bool) -> Exposure:
    """Return what secures a local server that has these files."""
    remedy = "Give `listen_tls_cert` and `listen_tls_key`."
    asks = tls is not None and tls.authorities is not None
    return Exposure(tls is not None, asks, insecure, remedy)


class LocalServer:
    """Offers a client's model, under the bundle's name. Use it with `async with`, or `start` and `stop`.

    All callers share the client: its window, its stream to the cloud, its policy. At most `max_queue`
    requests are taken at a time; more get OverloadedError, which is RESOURCE_EXHAUSTED to them. The client
    stays the caller's: it is connected by `start`, and not closed by `stop`. With `tls` it speaks nothing
    else; `insecure` lets it do without beyond this machine. Starting raises what AsyncEdgeClient.connect
    does, UsageError for an address that cannot be used or is exposed, and CredentialError for files that
    cannot be used.
    """

    def __init__(
        self,
        client: AsyncEdgeClient,
        listen: str = "127.0.0.1:0",
        *,
        max_queue: int = defaults.MAX_QUEUE,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        tls: TlsFiles | None = None,
        insecure: bool = False,
        on_result: OnResult = unheard,
        health: Callable[[], Health] = lambda: Health.HEALTHY,
    ) -> None:
        self._client = client
        self._health = health
        self._listen = listen
        self._max_queue = max_queue
        self._max_message_bytes = max_message_bytes
        self._tls, self._insecure = tls, insecure
        self._on_result = on_result
        self._server: OipServer | None = None

    @property
    def address(self) -> str:
        """HOST:PORT that the server is bound to; raises UsageError before it has started."""
        if self._server is None:
            raise UsageError("the server is not running. Use `async with`, or start it.")
        return self._server.address

    async def start(self) -> None:
        """Connect the client, bind the address and serve."""
        if self._server is not None:
            raise UsageError("this server has started already. Make another one.")
        exposure = exposure_of(self._tls, insecure=self._insecure)
        exposure.check(self._listen, "listen")
        open_listener(self._listen, "listen").close()
        await self._client.connect()
        bundle = self._client.bundle
        catalogue = _OneModel(
            ServedModel(name=bundle.name, inputs=bundle.inputs, outputs=bundle.outputs)
        )
        answerer = _Answerer(
            self._client,
            catalogue,
            self._max_queue,
            self._max_message_bytes,
            self._on_result,
            self._health,
        )
        server = OipServer(
            catalogue,
            answerer,
            Drain(),
            max_message_bytes=self._max_message_bytes,
            stream_window=min(defaults.STREAM_WINDOW, self._max_queue),
            extensions=EXTENSIONS,
            tls=ServerTls(self._tls) if self._tls else None,
            beside=[Service(inference.SERVICE, TritonService(catalogue).handlers(), inference_pb2)],
        )
        await server.start(self._listen)
        exposure.announce(server.address)
        self._server = server
        await self.show_health()

    async def show_health(self) -> None:
        """Let grpc.health.v1 tell of the cloud what `health` does: not serving while the edge is offline.

        The edge itself is serving in any case, as it answers by itself.
        """
        if self._server is not None:
            await self._server.show(CLOUD_SERVICE, serving=self._health() is not Health.OFFLINE)

    async def stop(self, grace_s: float = 0.0) -> None:
        """Drain: refuse new calls, and let those in flight finish for `grace_s`. Does nothing twice."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(grace_s)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()


class _OneModel:
    """A catalogue of the one model that an edge serves."""

    def __init__(self, model: ServedModel) -> None:
        self.model = model

    def find(self, name: str, version: str = "") -> ServedModel:
        if name != self.model.name:
            raise UnknownNameError(
                f"this edge has no model {name!r}. It serves {self.model.name!r}, whole; where that is "
                "cut is the edge's own affair."
            )
        check_version(self.model, version)
        return self.model


class _Answerer:
    """Makes frames of requests and answers of their results."""

    def __init__(
        self,
        client: AsyncEdgeClient,
        catalogue: _OneModel,
        max_queue: int,
        max_message_bytes: int,
        on_result: OnResult,
        health: Callable[[], Health],
    ) -> None:
        self._client = client
        self._health = health
        self._catalogue = catalogue
        self._max_queue = max_queue
        self._max_message_bytes = max_message_bytes
        self._on_result = on_result
        self._room = asyncio.Semaphore(client.window)
        self._inside = 0

    def submit(self, job: Job) -> asyncio.Future[bytes | Later]:
        """Begin a job; see Answerer."""
        return asyncio.ensure_future(self._answer(job))

    async def _answer(self, job: Job) -> bytes | Later:
        if self._inside >= self._max_queue:
            with contextlib.suppress(TensorError):
                job.decode()  # the refusal has to name the request
            raise OverloadedError(
                f"this edge has {plural(self._inside, 'request')} waiting, and takes no more. "
                "Send fewer at a time, or try again later."
            )
        self._inside += 1
        try:
            return await self._serve(job)
        finally:
            self._inside -= 1

    async def _serve(self, job: Job) -> bytes:
        header, raw = job.decode()
        check_seal(header, raw)
        model, bundle = (
            self._catalogue.find(header.model_name, header.model_version),
            self._client.bundle,
        )
        check_digest(header, bundle.name, bundle.digest)
        outputs = requested_outputs(header, model)
        values = await self._unpack(header, raw)
        async with self._room:
            running = self._client.bundle  # which may be another version by now
            check_digest(header, running.name, running.digest)
            result = await self._client.infer(
                values, arrived_at=job.received_ns / 1e9, on_error="result"
            )
        self._on_result(result, header.id)
        if result.error is not None:
            raise result.error
        answer, buffers = pack_response(header.model_name, header.id, result.outputs, outputs)
        _describe(answer, result)
        answer.parameters[PARAM_HEALTH].string_param = str(self._health())
        if PARAM_CHECKSUM in header.parameters:
            seal(answer, buffers)
        return job.encode(answer, buffers)

    async def _unpack(self, header: ModelInferRequest, raw: list[memoryview]) -> dict[str, Array]:
        bundle, limit = self._client.bundle, self._max_message_bytes
        arguments = (header, raw, bundle.inputs, bundle.ranges, limit)
        if raw and not any(PARAM_CODEC in tensor.parameters for tensor in header.inputs):
            return unpack_request(*arguments)  # only views are made
        return await asyncio.to_thread(unpack_request, *arguments)


def _describe(answer: ModelInferResponse, result: Result) -> None:
    """Write into an answer's parameters who served it, why, where it was cut, and the time of each stage."""
    answer.parameters[PARAM_SERVED_BY].string_param = str(result.served_by)
    answer.parameters[PARAM_REASON].string_param = result.reason
    answer.parameters[PARAM_CUT].string_param = result.cut
    answer.parameters[PARAM_CODEC].string_param = result.codec
    for stage in fields(Timings):
        nanoseconds = round(1e9 * getattr(result.timings, stage.name))
        answer.parameters[f"{stage.name.removesuffix('_s')}_ns"].int64_param = nanoseconds
