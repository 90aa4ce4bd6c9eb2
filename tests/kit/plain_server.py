"""A standard server: real gRPC, ONNX Runtime on the files of an export, and no word of ours."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import grpc
import grpc.aio
import numpy as np
import onnxruntime
from google.protobuf import text_format

from protos import inference_pb2 as oip
from protos.rpc.channels import server_options
from protos.tensors import dtype_of

_UNKNOWN = "Request for unknown model: {!r} is not found"


class PlainServer:
    """Serves the models of a repository whose tails decode by themselves.

    `streams`: `served`, `unknown`, or `broken`, as of a server whose streams are for something else.
    """

    def __init__(
        self,
        repository: Path,
        *,
        streams: str = "served",
        tells_configs: bool = True,
        has_index: bool = True,
        port: int = 0,
        max_message_bytes: int = 1 << 26,
    ) -> None:
        self.models = {path.name for path in repository.iterdir() if path.is_dir()}
        self.requests: list[oip.ModelInferRequest] = []
        self.calls = self.streamed = 0
        self.configs = {name: _config(repository / name) for name in self.models}
        self.address = ""
        self.ready_word = "READY"
        self._repository = repository
        self._streams, self._port, self._max_message_bytes = streams, port, max_message_bytes
        self._hidden = set() if tells_configs else {"ModelConfig"}
        self._hidden |= set() if has_index else {"RepositoryIndex"}
        self._sessions: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server(options=server_options(self._max_message_bytes))
        self._server.add_generic_rpc_handlers((_Handlers(self),))
        port = self._server.add_insecure_port(f"127.0.0.1:{self._port}")
        self.address = f"127.0.0.1:{port}"
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)

    def handler(self, method: str) -> Any:
        """Return what answers a method of the protocol; None for one that is not known."""
        if method == "ModelStreamInfer":
            known = {"served": self._stream, "broken": self._broken}.get(self._streams)
            return known and grpc.stream_stream_rpc_method_handler(
                known,
                oip.ModelInferRequest.FromString,
                oip.ModelStreamInferResponse.SerializeToString,
            )
        found: Any = {
            "ServerLive": (self._live, oip.ServerLiveRequest),
            "ServerMetadata": (self._about, oip.ServerMetadataRequest),
            "ModelMetadata": (self._metadata, oip.ModelMetadataRequest),
            "ModelConfig": (self._config, oip.ModelConfigRequest),
            "RepositoryIndex": (self._index, oip.RepositoryIndexRequest),
            "ModelInfer": (self._infer, oip.ModelInferRequest),
        }.get(method)
        if found is None or method in self._hidden:
            return None
        answer, kind = found
        return grpc.unary_unary_rpc_method_handler(
            answer, kind.FromString, lambda message: message.SerializeToString()
        )

    async def _live(self, _request: object, _context: object) -> Any:
        return oip.ServerLiveResponse(live=True)

    async def _about(self, _request: object, _context: object) -> Any:
        return oip.ServerMetadataResponse(name="standard", version="2.0")

    async def _index(self, _request: object, _context: object) -> Any:
        kind = oip.RepositoryIndexResponse.ModelIndex
        return oip.RepositoryIndexResponse(
            models=[
                kind(name=name, version="1", state=self.ready_word) for name in sorted(self.models)
            ]
        )

    async def _metadata(self, request: Any, context: Any) -> Any:
        config = await self._found(request.name, context)
        batch = [-1] if config.max_batch_size else []
        kind = oip.ModelMetadataResponse.TensorMetadata

        def told(tensors: Any) -> list[Any]:
            return [
                kind(
                    name=each.name,
                    datatype=oip.DataType.Name(each.data_type).removeprefix("TYPE_"),
                    shape=[*batch, *each.dims],
                )
                for each in tensors
            ]

        return oip.ModelMetadataResponse(
            name=request.name,
            versions=[self._version(request.name).name],
            inputs=told(config.input),
            outputs=told(config.output),
        )

    async def _config(self, request: Any, context: Any) -> Any:
        return oip.ModelConfigResponse(config=await self._found(request.name, context))

    async def _found(self, name: str, context: Any) -> oip.ModelConfig:
        if name not in self.models:
            await context.abort(grpc.StatusCode.NOT_FOUND, _UNKNOWN.format(name))
        return self.configs[name]

    def serve(self, repository: Path) -> None:
        """Serve what lies there from now on, under the same names."""
        self._repository = repository
        self._sessions.clear()

    def _version(self, name: str) -> Path:
        """Return the folder of a model's only version."""
        (found,) = (path for path in (self._repository / name).iterdir() if path.is_dir())
        return found

    def _has(self, request: oip.ModelInferRequest) -> bool:
        name = request.model_name
        return name in self.models and request.model_version in ("", self._version(name).name)

    async def _infer(self, request: Any, context: Any) -> Any:
        self.calls += 1
        if not self._has(request):
            await context.abort(grpc.StatusCode.NOT_FOUND, _UNKNOWN.format(request.model_name))
        return self._answer(request)

    async def _stream(
        self, requests: AsyncIterator[Any], _context: Any
    ) -> AsyncIterator[oip.ModelStreamInferResponse]:
        async for request in requests:
            self.streamed += 1
            if self._has(request):
                yield oip.ModelStreamInferResponse(infer_response=self._answer(request))
            else:
                yield oip.ModelStreamInferResponse(
                    error_message=_UNKNOWN.format(request.model_name),
                    infer_response=oip.ModelInferResponse(id=request.id),
                )

    async def _broken(
        self, requests: AsyncIterator[Any], context: Any
    ) -> AsyncIterator[oip.ModelStreamInferResponse]:
        async for _ in requests:
            await context.abort(grpc.StatusCode.UNKNOWN, "this model does not stream")
        yield oip.ModelStreamInferResponse()

    def _answer(self, request: oip.ModelInferRequest) -> oip.ModelInferResponse:
        self.requests.append(request)
        name = request.model_name
        if name not in self._sessions:
            self._sessions[name] = onnxruntime.InferenceSession(self._version(name) / "model.onnx")
        feeds = {
            tensor.name: np.frombuffer(data, dtype_of(tensor.datatype, tensor.name)).reshape(
                tuple(tensor.shape)
            )
            for tensor, data in zip(request.inputs, request.raw_input_contents, strict=True)
        }
        outputs = [each.name for each in self._sessions[name].get_outputs()]
        version = self._version(name).name
        answer = oip.ModelInferResponse(model_name=name, model_version=version, id=request.id)
        for output, value in zip(outputs, self._sessions[name].run(outputs, feeds), strict=True):
            answer.outputs.add(name=output, datatype="FP32", shape=value.shape)
            answer.raw_output_contents.append(value.tobytes())
        return answer


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, server: PlainServer) -> None:
        self._server = server

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        service, _, method = details.method.rpartition("/")
        known = service == "/inference.GRPCInferenceService"
        return self._server.handler(method) if known else None


def _config(folder: Path) -> oip.ModelConfig:
    text = (folder / "config.pbtxt").read_text()
    return text_format.Parse(text, oip.ModelConfig())
