"""Triton's model repository extension: what there is, and what is served of it."""

from collections.abc import Awaitable, Callable, Mapping

import grpc

from cloud_server.models.repository import Repository
from protos import inference_pb2 as oip
from protos.errors import UsageError
from protos.inference_pb2 import ModelRepositoryParameter
from protos.serving.handlers import unary
from protos.serving.inference import SERVICE


async def _at_once() -> None:
    """Wait for nobody."""


class RepositoryService:
    """Answers RepositoryIndex, and loads and unloads bundles; their cuts come and go with them.

    `settled` waits until all processes of the server do as they were told.
    """

    def __init__(
        self, repository: Repository, settled: Callable[[], Awaitable[None]] = _at_once
    ) -> None:
        self._repository = repository
        self._settled = settled

    async def index(self, request: oip.RepositoryIndexRequest) -> oip.RepositoryIndexResponse:
        """Return every version of every bundle, and why what is not ready is not."""
        _check_repository(request.repository_name)
        models = [
            oip.RepositoryIndexResponse.ModelIndex(
                name=entry.name, version=entry.version, state=entry.state, reason=entry.reason
            )
            for entry in self._repository.index(ready=request.ready)
        ]
        return oip.RepositoryIndexResponse(models=models)

    async def load(
        self, request: oip.RepositoryModelLoadRequest
    ) -> oip.RepositoryModelLoadResponse:
        """Look at the folder, and serve what it has of a bundle; see Repository.load."""
        _check_repository(request.repository_name)
        check_load_parameters(request.parameters)
        await self._repository.load(request.model_name)
        await self._settled()
        return oip.RepositoryModelLoadResponse()

    async def unload(
        self, request: oip.RepositoryModelUnloadRequest
    ) -> oip.RepositoryModelUnloadResponse:
        """Refuse requests for a bundle until it is loaded again; see Repository.unload."""
        _check_repository(request.repository_name)
        self._repository.unload(request.model_name)
        await self._settled()
        return oip.RepositoryModelUnloadResponse()

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return what a server registers beside the other methods of the protocol."""
        methods = {
            "RepositoryIndex": unary(
                self.index, oip.RepositoryIndexRequest, oip.RepositoryIndexResponse
            ),
            "RepositoryModelLoad": unary(
                self.load, oip.RepositoryModelLoadRequest, oip.RepositoryModelLoadResponse
            ),
            "RepositoryModelUnload": unary(
                self.unload, oip.RepositoryModelUnloadRequest, oip.RepositoryModelUnloadResponse
            ),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)


def check_load_parameters(parameters: Mapping[str, ModelRepositoryParameter]) -> None:
    """Raise UsageError for a load that would change a model: what a digest says is what runs."""
    if parameters:
        raise UsageError(
            f"a load with {', '.join(sorted(parameters))!r} is refused: this server takes neither a "
            "configuration nor files by it. Put a bundle into its folder, and load without parameters."
        )


def _check_repository(name: str) -> None:
    if name:
        raise UsageError(f"this server has one repository, and no {name!r}. Leave the name empty.")
