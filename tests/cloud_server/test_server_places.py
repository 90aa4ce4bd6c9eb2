"""Where a server's files lie is its own affair: answers name files, and the log says where."""

import shutil
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos import inference_pb2 as oip
from tests.kit.cloud_calls import TIMEOUT_S, connected, crossing, oip_stub, request_for
from tests.kit.rest_calls import document_of, infer_path, rest_client

DAMAGED = "graphs/model.onnx"


@pytest.fixture
def folder(residual_bundle: Bundle, tmp_path: Path) -> Path:
    """Two folders of bundles in one: of these the second is damaged."""
    for name in ("good", "damaged"):
        shutil.copytree(residual_bundle.path, tmp_path / "bundles" / name)
    (tmp_path / "bundles" / "damaged" / DAMAGED).write_bytes(b"")
    return tmp_path / "bundles"


def said(call: Callable[[], object]) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return str(caught.value.details())  # type: ignore[attr-defined]


def test_no_call_of_grpc_tells_a_path_of_the_server(
    residual_bundle: Bundle, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    request = request_for(residual_bundle, "cloud", crossing(residual_bundle, "cloud"))
    with CloudServer(folder) as server, connected(server.address) as channel:
        index = oip_stub(channel).RepositoryIndex(oip.RepositoryIndexRequest(), timeout=TIMEOUT_S)
        (damaged,) = [model.reason for model in index.models if model.state != "READY"]
        assert damaged.startswith("model.onnx is damaged")
        assert f"{folder}/damaged/{DAMAGED} is damaged" in caplog.text
        with (folder / "good" / DAMAGED).open("r+b") as graph:
            graph.write(b"\0" * 64)  # while it serves
        infer = oip_stub(channel).ModelInfer
        changed = said(lambda: infer(request, timeout=TIMEOUT_S))
        assert "model.onnx" in changed
        assert str(folder) not in changed


async def test_no_page_of_rest_tells_a_path_of_the_server(
    residual_bundle: Bundle, folder: Path
) -> None:
    document = document_of(residual_bundle, "cloud", crossing(residual_bundle, "cloud"))
    async with CloudServer(folder) as server, rest_client(server) as client:
        index = await client.post("/v2/repository/index")
        assert "model.onnx is damaged" in index.text
        assert str(folder) not in index.text
        with (folder / "good" / DAMAGED).open("r+b") as graph:
            graph.write(b"\0" * 64)
        changed = await client.post(infer_path(residual_bundle), json=document)
        assert changed.status_code == 500
        assert "model.onnx" in changed.text
        assert str(folder) not in changed.text
