"""The Open Inference Protocol over gRPC, with Triton's stream.

The data plane takes and gives raw bytes, so that protobuf never copies a tensor; the other methods
use the generated messages.
"""

from collections.abc import Sequence
from importlib.metadata import version

import grpc

from protos import inference_pb2 as oip
from protos.errors import UnknownNameError
from protos.serving.answers import Answerer, Catalogue, Job, answer
from protos.serving.drain import Drain
from protos.serving.handlers import unary, unary_bytes
from protos.serving.refusals import Context
from protos.serving.streams import AnswerStream
from protos.tensors import TensorSpec
from protos.wire.framing import encode_response

SERVICE = "inference.GRPCInferenceService"
SERVER_NAME = "splitpoint"


def splitpoint_version() -> str:
    """Return the installed version of splitpoint."""
    return version("splitpoint")


class InferenceService:
    """Serves the models of a catalogue; keeps nothing from one request to the next.

    `extensions`: what is offered beyond the protocol; `stream_window`: requests of one stream that are
    in the server at the same time.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        answerer: Answerer,
        drain: Drain,
        stream_window: int,
        extensions: Sequence[str],
    ) -> None:
        self._catalogue = catalogue
        self._answerer = answerer
        self._extensions = extensions
        self._drain = drain
        self._stream_window = stream_window

    async def server_live(self, request: oip.ServerLiveRequest) -> oip.ServerLiveResponse:
        """Answer that the server is alive."""
        del request
        return oip.ServerLiveResponse(live=True)

    async def server_ready(self, request: oip.ServerReadyRequest) -> oip.ServerReadyResponse:
        """Answer that the server is ready, until it drains."""
        del request
        return oip.ServerReadyResponse(ready=self._drain.ready)

    async def model_ready(self, request: oip.ModelReadyRequest) -> oip.ModelReadyResponse:
        """A model that exists is ready; what it needs is loaded when it is first asked for."""
        try:
            self._catalogue.find(request.name, request.version)
        except UnknownNameError:
            return oip.ModelReadyResponse(ready=False)
        return oip.ModelReadyResponse(ready=self._drain.ready)

    async def server_metadata(
        self, request: oip.ServerMetadataRequest
    ) -> oip.ServerMetadataResponse:
        """Name, version and what is offered beyond the protocol."""
        del request
        return oip.ServerMetadataResponse(
            name=SERVER_NAME, version=splitpoint_version(), extensions=self._extensions
        )

    async def model_metadata(self, request: oip.ModelMetadataRequest) -> oip.ModelMetadataResponse:
        """Names, types and shapes of a model's inputs and outputs."""
        model = self._catalogue.find(request.name, request.version)
        return oip.ModelMetadataResponse(
            name=request.name,
            versions=model.versions,
            platform=model.platform,
            inputs=[_described(spec) for spec in model.inputs],
            outputs=[_described(spec) for spec in model.outputs],
        )

    async def model_infer(self, request: bytes, context: Context) -> bytes:
        """Take a serialised ModelInferRequest; return a serialised ModelInferResponse."""
        job = Job(request, encode_response, context.peer(), context.time_remaining())
        return await answer(self._answerer, job)

    async def model_stream_infer(self, requests: object, context: Context) -> None:
        """Read and write serialised messages on `context`; errors of requests are answers."""
        del requests
        await AnswerStream(self._answerer, context, self._stream_window).serve(self._drain)

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return what a server registers; ModelInfer and its stream get raw bytes."""
        methods = {
            "ServerLive": unary(self.server_live, oip.ServerLiveRequest, oip.ServerLiveResponse),
            "ServerReady": unary(
                self.server_ready, oip.ServerReadyRequest, oip.ServerReadyResponse
            ),
            "ModelReady": unary(self.model_ready, oip.ModelReadyRequest, oip.ModelReadyResponse),
            "ServerMetadata": unary(
                self.server_metadata, oip.ServerMetadataRequest, oip.ServerMetadataResponse
            ),
            "ModelMetadata": unary(
                self.model_metadata, oip.ModelMetadataRequest, oip.ModelMetadataResponse
            ),
            "ModelInfer": unary_bytes(self.model_infer),
            "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(self.model_stream_infer),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)


def _described(spec: TensorSpec) -> oip.ModelMetadataResponse.TensorMetadata:
    return oip.ModelMetadataResponse.TensorMetadata(
        name=spec.name, datatype=spec.oip_datatype, shape=spec.oip_shape
    )
