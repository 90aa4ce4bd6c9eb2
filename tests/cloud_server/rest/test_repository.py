"""The repository by REST: what there is, and loads that would change a model."""

from typing import Any

import pytest

from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from tests.kit.rest_calls import error_of, rest_client

INDEX, LOAD = "/v2/repository/index", "/v2/repository/models/residual/load"


async def test_unloaded_bundle_is_listed_and_not_ready(residual_bundle: Bundle) -> None:
    async with CloudServer(residual_bundle.path) as server, rest_client(server) as client:
        (listed,) = (await client.post(INDEX)).json()
        assert (listed["name"], listed["state"]) == ("residual", "READY")
        unloaded = await client.post("/v2/repository/models/residual/unload", json={})
        assert (unloaded.status_code, unloaded.content) == (200, b"")
        assert (await client.get("/v2/models/residual")).status_code == 404
        assert [one["state"] for one in (await client.post(INDEX)).json()] == ["UNAVAILABLE"]
        assert (await client.post(INDEX, json={"ready": True})).json() == []
        assert (await client.post(LOAD)).status_code == 200
        assert (await client.get("/v2/models/residual")).status_code == 200


@pytest.mark.parametrize(
    ("path", "content", "status", "words"),
    [
        (INDEX, b"{", 400, "this is no request to a repository: the body: Invalid JSON"),
        (INDEX, b'{"ready": 1}', 400, "ready: Input should be a valid boolean"),
        (INDEX, b" " * (1 << 17), 413, "over the limit"),
        (LOAD, b'{"parameters": {"config": "{}"}}', 400, "takes neither a configuration nor files"),
        ("/v2/repository/models/nowhere/load", b"", 404, "nowhere"),
        ("/v2/repository/models/nowhere/unload", b"", 404, "nowhere"),
    ],
)
async def test_order_that_is_not_taken_says_why(
    residual_bundle: Bundle, path: str, content: bytes, status: int, words: str
) -> None:
    async with CloudServer(residual_bundle.path) as server, rest_client(server) as client:
        found: Any = await client.post(path, content=content)
        assert (found.status_code, words in error_of(found.content)) == (status, True), found.text
