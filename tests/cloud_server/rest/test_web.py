"""The REST side of the Open Inference Protocol."""

import json
import urllib.request

import httpx
import pytest

from cloud_server.rest.web import create_app, serve_web
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos.errors import UsageError
from tests.kit.cloud_calls import TIMEOUT_S


async def test_rest_tells_health_and_metadata(residual_bundle: Bundle) -> None:
    async with CloudServer(residual_bundle.path) as server:
        transport = httpx.ASGITransport(app=create_app(server))
        async with httpx.AsyncClient(transport=transport, base_url="http://cloud") as client:
            assert (await client.get("/v2")).json()["name"] == "splitpoint"
            assert (await client.get("/v2/health/live")).json() == {"live": True}
            assert (await client.get("/v2/health/ready")).json() == {"ready": True}
            model = (await client.get("/v2/models/residual")).json()
            assert model["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3, 32, 32]}]
            assert (await client.get("/v2/models/residual/ready")).json()["ready"] is True
            unknown = await client.get("/v2/models/resnet")
            assert unknown.status_code == 404
            assert "It has: residual" in unknown.json()["error"]
            for page in ("/docs", "/redoc", "/openapi.json"):
                assert (await client.get(page)).status_code == 404
            await server.stop()
            assert (await client.get("/v2/health/ready")).status_code == 503
            assert (await client.get("/v2/models/residual/ready")).status_code == 503


async def test_http_is_served_beside_grpc(residual_bundle: Bundle) -> None:
    import asyncio

    def ask(address: str) -> object:
        with urllib.request.urlopen(f"http://{address}/v2/health/ready", timeout=TIMEOUT_S) as page:
            return json.load(page)

    async with (
        CloudServer(residual_bundle.path) as server,
        serve_web(server, "127.0.0.1:0") as address,
    ):
        assert await asyncio.to_thread(ask, address) == {"ready": True}
        with pytest.raises(UsageError, match=r"cannot listen on .*in use.*Choose another `http`"):
            async with serve_web(server, address):
                pass
