"""A cloud whose answers a test decides: real gRPC, no inference unless asked for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Self

import grpc
import grpc.aio

from edge_client.cloud.stream import METHOD
from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import Stage
from protos.errors import MismatchError
from protos.inference_pb2 import ModelInferRequest, ModelInferResponse
from protos.names import PARAM_ERROR_CODE, PARAM_RETRY_AFTER_MS, model_name
from protos.rpc.channels import server_options
from protos.splitpoint_pb2 import (
    GetServerInfoResponse,
    ListBundlesResponse,
    ProbeRequest,
    ProbeResponse,
)
from protos.wire.framing import decode_request, encode_stream_response
from protos.wire.messages import pack_response, unpack_request

DENIAL = "no device has this token. Ask for one."

Answer = Callable[[ModelInferRequest, list[memoryview]], Awaitable[bytes | None]]
"""Takes a request; returns the bytes of the answer, or None for silence."""


class FakeCloud:
    """Listens on a free port of this machine; each request is answered by `answer`, each in a task."""

    def __init__(
        self,
        bundle: Bundle,
        answer: Answer | None = None,
        port: int = 0,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        self.bundle = bundle
        self.credentials = credentials
        self.port = port
        self.answer = answer or self.infer
        self.max_message_bytes = 1 << 20
        self.digest = bundle.digest
        self.name = bundle.name
        self.calibration = bundle.ranges
        self.greets = True
        self.wants_token = ""
        self.denied = 0
        self.streams = 0
        self.requests: list[ModelInferRequest] = []
        self.address = ""
        self._tails: dict[str, Stage] = {}
        self._broken = asyncio.Event()

    async def infer(self, header: ModelInferRequest, raw: list[memoryview]) -> bytes | None:
        """Answer as a real server does."""
        tail, outputs = self.tail(header.model_name)
        try:
            values = tail.run(unpack_request(header, raw, tail.inputs, self.calibration))
        except MismatchError as error:
            return error_answer(header, grpc.StatusCode.FAILED_PRECONDITION, str(error))
        answer, buffers = pack_response(header.model_name, header.id, values, outputs)
        return encode_stream_response(answer, buffers)

    def tail(self, model: str) -> tuple[Stage, Any]:
        """Return the tail that is served as `model`, and its outputs."""
        if model not in self._tails:
            cuts = {model_name(self.bundle.name, cut): cut for cut in self.bundle.cuts}
            self._tails[model] = self.bundle.open_tail(cuts[model])
        return self._tails[model], self._tails[model].outputs

    def end_streams(self) -> None:
        """Break every stream."""
        self._broken.set()

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server(options=server_options(self.max_message_bytes))
        self._server.add_generic_rpc_handlers((_Handlers(self),))
        where = f"127.0.0.1:{self.port}"
        port = (
            self._server.add_insecure_port(where)
            if self.credentials is None
            else self._server.add_secure_port(where, self.credentials)
        )
        self.address = f"127.0.0.1:{port}"
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)

    async def deny(self, _: object, context: Any) -> None:
        """Let nobody in."""
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, DENIAL)

    async def serve_stream(self, _: object, context: Any) -> None:
        """Read requests and answer each in a task of its own, until the client goes or it breaks."""
        self.streams += 1
        reader = asyncio.create_task(self._read_all(context))
        broken = asyncio.create_task(self._broken.wait())
        await asyncio.wait([reader, broken], return_when=asyncio.FIRST_COMPLETED)
        reader.cancel()
        broken.cancel()
        if self._broken.is_set():
            self._broken.clear()
            if self.wants_token:
                await self.deny(None, context)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the server drains")

    async def _read_all(self, context: Any) -> None:
        tasks: set[asyncio.Task[None]] = set()
        writing = asyncio.Lock()
        while (data := await context.read()) is not grpc.aio.EOF:
            task = asyncio.create_task(self._answer(data, context, writing))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _answer(self, data: bytes, context: Any, writing: asyncio.Lock) -> None:
        header, raw = decode_request(data)
        self.requests.append(header)
        if (answer := await self.answer(header, raw)) is not None:
            async with writing:
                await context.write(answer)

    async def info(self, _request: bytes, _context: object) -> bytes:
        return GetServerInfoResponse(
            version="1", max_message_bytes=self.max_message_bytes, workers=1
        ).SerializeToString()

    async def bundles(self, _request: bytes, _context: object) -> bytes:
        entry = ListBundlesResponse.Entry(
            name=self.name,
            digest=self.digest,
            calibration_digest=self.calibration.digest if self.calibration else "",
        )
        return ListBundlesResponse(bundles=[entry]).SerializeToString()

    async def probe(self, request: bytes, _context: object) -> bytes:
        wanted = ProbeRequest.FromString(request).reply_bytes
        return ProbeResponse(payload=bytes(wanted)).SerializeToString()


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, cloud: FakeCloud) -> None:
        self._cloud = cloud

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        told = dict(details.invocation_metadata or ()).get("authorization")
        if self._cloud.wants_token and told != f"Bearer {self._cloud.wants_token}":
            self._cloud.denied += 1
            streams = details.method == METHOD
            deny = (
                grpc.stream_stream_rpc_method_handler
                if streams
                else grpc.unary_unary_rpc_method_handler
            )
            return deny(self._cloud.deny)
        if details.method == METHOD:
            return grpc.stream_stream_rpc_method_handler(self._cloud.serve_stream)
        if self._cloud.greets and details.method.endswith("/GetServerInfo"):
            return grpc.unary_unary_rpc_method_handler(self._cloud.info)
        if self._cloud.greets and details.method.endswith("/Probe"):
            return grpc.unary_unary_rpc_method_handler(self._cloud.probe)
        if self._cloud.greets and details.method.endswith("/ListBundles"):
            return grpc.unary_unary_rpc_method_handler(self._cloud.bundles)
        return None


class Withheld:
    """Answers as a real server does, but not before it is let go."""

    def __init__(self, cloud: FakeCloud) -> None:
        self._cloud, self._let_go = cloud, asyncio.Event()
        cloud.answer = self

    def let_go(self) -> None:
        """Answer what has come, and what comes."""
        self._let_go.set()

    async def __call__(self, header: ModelInferRequest, raw: list[memoryview]) -> bytes | None:
        await self._let_go.wait()
        return await self._cloud.infer(header, raw)


def error_answer(
    header: ModelInferRequest, code: grpc.StatusCode, sentence: str, retry_after_ms: int = 0
) -> bytes:
    """Return the bytes of a failed answer to one request of a stream."""
    answer = ModelInferResponse(id=header.id)
    answer.parameters[PARAM_ERROR_CODE].string_param = code.name
    if retry_after_ms:
        answer.parameters[PARAM_RETRY_AFTER_MS].int64_param = retry_after_ms
    return encode_stream_response(answer, [], sentence)


def answering(code: grpc.StatusCode, sentence: str, retry_after_ms: int = 0) -> Answer:
    async def answer(header: ModelInferRequest, _raw: list[memoryview]) -> bytes | None:
        return error_answer(header, code, sentence, retry_after_ms)

    return answer


async def silence(_header: ModelInferRequest, _raw: list[memoryview]) -> bytes | None:
    return None
