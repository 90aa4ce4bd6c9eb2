"""The methods of Triton's extensions that cloud and edge have in common."""

from collections.abc import Callable

import grpc

from protos import inference_pb2 as oip
from protos.serving.answers import Catalogue, ServedModel
from protos.serving.handlers import unary
from protos.serving.inference import SERVICE
from protos.triton.model_config import UNBATCHED, Batching, has_batch_first, model_config
from protos.triton.shared_memory import shared_memory_methods


class TritonService:
    """Says how the models of a catalogue are served; refuses shared memory.

    `batching` says of a model whose first axis is its batch how its requests are batched.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        batching: Callable[[ServedModel], Batching] = lambda _model: UNBATCHED,
    ) -> None:
        self._catalogue = catalogue
        self._batching = batching

    def configuration(self, name: str, version: str = "") -> oip.ModelConfig:
        """Return how a model is served; raises what the catalogue does where it finds none."""
        model = self._catalogue.find(name, version)
        batching = self._batching(model) if has_batch_first(model) else UNBATCHED
        return model_config(name, model, batching)

    async def model_config(self, request: oip.ModelConfigRequest) -> oip.ModelConfigResponse:
        """How a model is served, in Triton's words."""
        config = self.configuration(request.name, request.version)
        return oip.ModelConfigResponse(config=config)

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return what a server registers beside the other methods of the protocol."""
        config = unary(self.model_config, oip.ModelConfigRequest, oip.ModelConfigResponse)
        methods = {"ModelConfig": config, **shared_memory_methods()}
        return grpc.method_handlers_generic_handler(SERVICE, methods)
