"""The pages about the routes load nothing from anywhere, and nothing may run in them."""

import re

from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from tests.kit.rest_calls import rest_client


async def test_page_has_every_route_no_script_and_nothing_from_elsewhere(
    residual_bundle: Bundle,
) -> None:
    async with CloudServer(residual_bundle.path) as server, rest_client(server) as client:
        page = await client.get("/docs")
        document = (await client.get("/openapi.json")).json()
        about = await client.get("/v2")
    for path in document["paths"]:
        assert f"<code>{path}</code>" in page.text
    assert re.findall(r"<(?:script|link|img|iframe|object|form)|\bon\w+=|//", page.text) == []
    assert re.findall(r"""(?:href|src)=["']?([^"'> ]+)""", page.text) == ["openapi.json"]
    for answer in (page, about):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert re.findall(r"unsafe|https?:|\*", policy) == []
        assert answer.headers["x-content-type-options"] == "nosniff"
