"""Routes of Triton's model repository extension: what there is, and what is served of it."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud_server.rest import schemas
from cloud_server.rest.documents import plain
from cloud_server.rest.inference import Gate
from cloud_server.rest.payloads.bodies import Bodies
from cloud_server.services.repository_service import RepositoryService
from protos import inference_pb2 as oip
from protos.errors import UsageError

_MOST_BYTES = 64 << 10


class RepositoryRequest(BaseModel):
    """What one of these routes may be told; the body may be empty, too."""

    model_config = ConfigDict(strict=True)
    ready: bool = False
    parameters: dict[str, Any] = Field(default_factory=dict, max_length=64)


def repository_routes(repository: RepositoryService, gate: Gate) -> APIRouter:
    """Return the routes. The folder's versions change by them, so an admin asks for them.

    `gate` is asked once the body of an order has come.
    """
    routes = APIRouter(tags=["repository"], responses=schemas.REFUSED_ORDERS)
    bodies = Bodies(_MOST_BYTES)
    taken = schemas.body_of(RepositoryRequest)

    async def told(request: Request) -> RepositoryRequest:
        async with bodies.read(request) as body:
            await gate(request)
            return _read(body)

    @routes.post("/v2/repository/index", summary="Versions that there are", openapi_extra=taken)
    async def index(request: Request) -> list[dict[str, Any]]:
        asked = oip.RepositoryIndexRequest(ready=(await told(request)).ready)
        return [plain(one) for one in (await repository.index(asked)).models]

    @routes.post(
        "/v2/repository/models/{name}/load",
        summary="Serve what the folder has of a bundle",
        openapi_extra=taken,
        response_class=Response,
    )
    async def load(name: str, request: Request) -> Response:
        order = oip.RepositoryModelLoadRequest(model_name=name)
        for key in (await told(request)).parameters:
            order.parameters[key].bool_param = True  # its name is enough to refuse it
        await repository.load(order)
        return Response()

    @routes.post(
        "/v2/repository/models/{name}/unload",
        summary="Refuse requests for a bundle until it is loaded again",
        openapi_extra=taken,
        response_class=Response,
    )
    async def unload(name: str, request: Request) -> Response:
        await told(request)
        await repository.unload(oip.RepositoryModelUnloadRequest(model_name=name))
        return Response()

    return routes


def _read(body: bytes) -> RepositoryRequest:
    if not body:
        return RepositoryRequest()
    try:
        return RepositoryRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise UsageError(
            f"this is no request to a repository: {where}: {first['msg']}. Send the JSON that Triton's "
            "model repository extension describes, or nothing."
        ) from error
