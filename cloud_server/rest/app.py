"""The application: the routes of the Open Inference Protocol, health, metrics, and pages about them."""

from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response

from cloud_server.rest import schemas
from cloud_server.rest.documents import model_metadata, plain, server_metadata
from cloud_server.rest.inference import Gate, Inference
from cloud_server.rest.metrics_page import MetricsPage
from cloud_server.rest.pages import SafeHeaders, add_pages
from cloud_server.rest.refusals import Answers, Heads, add_refusals
from cloud_server.rest.repository import repository_routes
from cloud_server.rest.strangers import let_in
from cloud_server.server_parts import Served
from protos.inference_pb2 import ModelStatisticsRequest
from protos.serving.drain import Drain
from protos.serving.inference import splitpoint_version


async def open_gate(_request: Request) -> None:
    """Let everybody in."""


def create_app(served: Served, gate: Gate = open_gate) -> FastAPI:
    """Return the application; `gate` is asked before everything but health and the pages about the routes.

    It is asked again once a body has come, which may be long after.
    """

    async def admit(request: Request) -> None:
        await gate(request)
        let_in(request.scope)

    app = FastAPI(
        title="Splitpoint",
        version=splitpoint_version(),
        description="The Open Inference Protocol by REST, with Triton's binary and statistics extensions.",
        docs_url=None,
        redoc_url=None,
    )
    add_refusals(app)
    add_pages(app)
    app.add_middleware(Heads)
    app.add_middleware(Answers, counts=served.pages)
    app.add_middleware(SafeHeaders)
    app.include_router(_health(served.drain))
    gated = (
        _statistics(served),
        _models(served),
        _inference(served, gate),
        repository_routes(served.repository, gate),
    )
    for router in gated:
        app.include_router(router, dependencies=[Depends(admit)])
    return app


def _health(drain: Drain) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get("/livez", summary="Is the process alive?")
    @routes.get("/v2/health/live", summary="Is the process alive?")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @routes.get("/readyz", summary="Should requests be sent here?", responses=schemas.UNREADY)
    @routes.get(
        "/v2/health/ready", summary="Should requests be sent here?", responses=schemas.UNREADY
    )
    async def ready(response: Response) -> dict[str, bool]:
        response.status_code = 200 if drain.ready else 503
        return {"ready": drain.ready}

    return routes


def _statistics(served: Served) -> APIRouter:
    routes = APIRouter(tags=["statistics"], responses=schemas.REFUSED)
    page = MetricsPage(served)

    async def told(name: str, version: str) -> dict[str, Any]:
        request = ModelStatisticsRequest(name=name, version=version)
        return plain(await served.statistics.model_statistics(request))

    @routes.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
    async def metrics(request: Request) -> Response:
        text, content_type = await page.write(request.headers.get("accept", ""))
        return Response(text, headers={"content-type": content_type})

    @routes.get("/v2/models/stats", summary="What all models have done")
    async def all_models() -> dict[str, Any]:
        return await told("", "")

    @routes.get("/v2/models/{name}/stats", summary="What a model has done")
    async def one_model(name: str) -> dict[str, Any]:
        return await told(name, "")

    @routes.get("/v2/models/{name}/versions/{version}/stats", summary="What a version has done")
    async def one_version(name: str, version: str) -> dict[str, Any]:
        return await told(name, version)

    return routes


def _models(served: Served) -> APIRouter:
    routes = APIRouter(tags=["models"], responses=schemas.REFUSED)

    @routes.get("/v2", summary="Name, version and extensions of the server")
    async def server() -> dict[str, Any]:
        return server_metadata()

    @routes.get("/v2/models/{name}", summary="Inputs and outputs of a model")
    async def model(name: str) -> dict[str, Any]:
        return model_metadata(name, served.catalogue.find(name))

    @routes.get("/v2/models/{name}/versions/{version}", summary="Inputs and outputs of a version")
    async def model_version(name: str, version: str) -> dict[str, Any]:
        return model_metadata(name, served.catalogue.find(name, version))

    @routes.get("/v2/models/{name}/config", summary="How a model is served")
    async def config(name: str) -> dict[str, Any]:
        return plain(served.triton.configuration(name))

    @routes.get("/v2/models/{name}/versions/{version}/config", summary="How a version is served")
    async def version_config(name: str, version: str) -> dict[str, Any]:
        return plain(served.triton.configuration(name, version))

    @routes.get("/v2/models/{name}/ready", summary="Is a model served?", responses=schemas.UNREADY)
    async def model_ready(name: str, response: Response) -> dict[str, Any]:
        return _model_ready(name, "", response)

    @routes.get(
        "/v2/models/{name}/versions/{version}/ready",
        summary="Is a version served?",
        responses=schemas.UNREADY,
    )
    async def version_ready(name: str, version: str, response: Response) -> dict[str, Any]:
        return _model_ready(name, version, response)

    def _model_ready(name: str, version: str, response: Response) -> dict[str, Any]:
        served.catalogue.find(name, version)
        response.status_code = 200 if served.drain.ready else 503
        return {"name": name, "ready": served.drain.ready}

    return routes


def _inference(served: Served, gate: Gate) -> APIRouter:
    inference = Inference(served.answerer, served.drain, served.max_bytes, gate)
    routes = APIRouter(tags=["inference"], responses=schemas.REFUSED_INFERENCE)
    described: dict[str, Any] = {
        "summary": "Run a model",
        "response_class": Response,
        "responses": schemas.ANSWER,
        "openapi_extra": schemas.REQUEST,
    }

    @routes.post("/v2/models/{name}/infer", **described)
    async def infer(name: str, request: Request) -> Response:
        return await inference.answer(request, name)

    @routes.post("/v2/models/{name}/versions/{version}/infer", **described)
    async def infer_version(name: str, version: str, request: Request) -> Response:
        return await inference.answer(request, name, version)

    return routes
