"""The REST service: health and metadata by the Open Inference Protocol, for load balancers and curl."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from cloud_server.engine.engine import EXTENSIONS
from protos.errors import UnknownNameError, UsageError
from protos.rpc.addresses import open_listener
from protos.security.server_tls import RenewedContext
from protos.serving.inference import SERVER_NAME, splitpoint_version
from protos.tensors import TensorSpec

if TYPE_CHECKING:
    from fastapi import FastAPI

    from cloud_server.server import CloudServer


def create_app(server: "CloudServer") -> "FastAPI":
    """Return the application: /v2, /v2/health/…, /v2/models/{name} and its /ready; /metrics of edges."""
    from fastapi import FastAPI, Request, Response
    from fastapi.responses import JSONResponse
    from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

    from protos.serving.metrics import registry_of

    store, registry = server.store, registry_of(server.edges.newest)
    # No documentation pages: they would load their scripts from elsewhere.
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(UnknownNameError)
    async def unknown(request: Request, error: UnknownNameError) -> Response:
        del request
        return JSONResponse({"error": str(error)}, status_code=404)

    @app.get("/v2")
    async def metadata() -> dict[str, Any]:
        return {
            "name": SERVER_NAME,
            "version": splitpoint_version(),
            "extensions": list(EXTENSIONS),
        }

    @app.get("/v2/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/v2/health/ready")
    async def ready(response: Response) -> dict[str, bool]:
        response.status_code = 200 if server.ready else 503
        return {"ready": server.ready}

    @app.get("/metrics")
    async def metrics() -> Response:
        page = await asyncio.to_thread(generate_latest, registry)
        return Response(page, media_type=CONTENT_TYPE_LATEST)

    @app.get("/v2/models/{name}")
    async def model(name: str) -> dict[str, Any]:
        found = store.find(name)
        return {
            "name": name,
            "versions": list(found.versions),
            "platform": found.platform,
            "inputs": [_described(spec) for spec in found.inputs],
            "outputs": [_described(spec) for spec in found.outputs],
        }

    @app.get("/v2/models/{name}/ready")
    async def model_ready(name: str, response: Response) -> dict[str, Any]:
        store.find(name)
        response.status_code = 200 if server.ready else 503
        return {"name": name, "ready": server.ready}

    return app


@contextlib.asynccontextmanager
async def serve_web(server: "CloudServer", listen: str) -> AsyncIterator[str]:
    """Serve the application on `listen` (HOST:PORT) within the block; gives the address bound.

    It speaks TLS by the server's own files, if there are any. Raises UsageError when the extra `cloud` is not
    installed, or the address cannot be used or is exposed, and CredentialError for files of no use.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise UsageError(
            f"`http` needs {error.name}. Install it with: pip install 'splitpoint[cloud]'."
        ) from error

    class Quiet(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            # The command handles signals itself, to drain.
            yield

    server.options.exposure.check(listen, "http")
    tls = server.options.tls
    config = uvicorn.Config(create_app(server), log_config=None, access_log=False)
    config.load()
    config.ssl = RenewedContext.of(tls) if tls else None
    bound = open_listener(listen, "http")
    web = Quiet(config)
    serving = asyncio.create_task(web.serve(sockets=[bound]))
    host, port = bound.getsockname()[:2]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    server.options.exposure.announce(address)
    try:
        yield address
    finally:
        web.should_exit = True
        await serving


def _described(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.oip_datatype, "shape": list(spec.oip_shape)}
