"""A bundle's serving.toml behind a real server: damaged, corrected, and what both protocols tell of it."""

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import SERVING_FILE
from protos.inference_pb2 import ModelConfigRequest
from tests.kit.cloud_calls import TIMEOUT_S, connected, oip_stub
from tests.kit.rest_calls import rest_client

BATCHED = "max_batch_size = 8\n[dynamic_batching]\npreferred_batch_size = [4]"


@pytest.fixture
def bundle(residual_bundle: Bundle, tmp_path: Path) -> Bundle:
    return Bundle.load(shutil.copytree(residual_bundle.path, tmp_path / "own" / "residual"))


async def configs(server: CloudServer, client: Any) -> tuple[int, int]:
    """Return the largest batch that gRPC and REST tell, and check that both tell the same of batching."""
    told = (await client.get("/v2/models/residual/config")).json()
    version = server.store.versions["residual"][0].number
    page = f"/v2/models/residual/versions/{version}/config"
    assert (await client.get(page)).json() == told
    config = server.served.triton.configuration("residual")
    assert told.get("dynamic_batching", {}).get("preferred_batch_size", []) == list(
        config.dynamic_batching.preferred_batch_size
    )
    return config.max_batch_size, told["max_batch_size"]


async def test_damaged_serving_file_is_said_once_and_the_server_starts_by_its_flags(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    file = bundle.path / SERVING_FILE
    file.write_text("max_batch_sise = 8")
    async with (
        CloudServer(bundle.path.parent, watch=False, max_batch_size=3) as server,
        rest_client(server) as client,
    ):
        assert await configs(server, client) == (3, 3)
        await server.reload()
        assert caplog.text.count("max_batch_sise: there is no such field") == 1
        file.write_text(BATCHED)
        await server.reload()
        assert f"{bundle.path} is batched as its {SERVING_FILE} says" in caplog.text
        assert await configs(server, client) == (8, 8)
        file.write_text("max_batch_size = 0")
        await server.reload()
        assert caplog.text.count("max_batch_size: ") == 1  # before anybody asks
        assert await configs(server, client) == (3, 3)


def test_grpc_tells_the_batches_that_rest_tells(bundle: Bundle) -> None:
    (bundle.path / SERVING_FILE).write_text(BATCHED)
    with CloudServer(bundle.path) as server, connected(server.address) as channel:
        request = ModelConfigRequest(name="residual")
        config = oip_stub(channel).ModelConfig(request, timeout=TIMEOUT_S).config
    assert (config.max_batch_size, list(config.dynamic_batching.preferred_batch_size)) == (8, [4])
