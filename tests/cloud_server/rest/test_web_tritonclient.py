"""Triton's own client for REST is served in all of its forms."""

import asyncio
from pathlib import Path

import numpy as np

from cloud_server.rest.web import serve_web
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from tests.kit.cloud_calls import crossing, uncut
from tests.kit.triton_http_client import run_http_client


async def test_triton_client_is_served_in_json_and_binary_plain_and_packed(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    cut = next(c for c in residual_bundle.manifest.cuts if len(c.frontier) == 1)
    sent = crossing(residual_bundle, cut.id, batch=2)
    model = f"{residual_bundle.name}.{cut.id}"
    async with (
        CloudServer(residual_bundle.path) as server,
        serve_web(server, "127.0.0.1:0") as address,
    ):
        found = await asyncio.to_thread(run_http_client, address, model, sent, tmp_path)

    assert (found["live"], found["ready"], found["server"]) == (True, True, "splitpoint")
    assert found["inputs"] == [[cut.frontier[0].name, "FP32"]]
    (wanted,) = uncut(residual_bundle, batch=2).values()
    with np.load(tmp_path / "got.npz") as got:
        assert len(got.files) == 18
        for name in got.files:
            np.testing.assert_allclose(got[name], wanted, rtol=1e-4, atol=1e-5)
            # Without a word on outputs, this client asks for binary data.
            in_json = name.split()[1] == "False"
            assert found["answers"][name] == ["7", model, in_json]
    assert found["together"] == [list(wanted.shape)] * 3
    (told,) = found["statistics"]
    assert (told["inference_count"], told["execution_count"]) == (2 * 21, 21)
    assert found["config"] == [model, "TYPE_FP32", list(cut.frontier[0].oip_shape)]
    (listed,) = found["index"]
    assert (listed["name"], listed["state"], listed["reason"]) == ("residual", "READY", "")
    ready, (unloaded,) = found["unloaded"]
    assert (ready, unloaded["version"], unloaded["state"]) == (
        False, listed["version"], "UNAVAILABLE",
    )  # fmt: skip
    assert found["loaded"]
    assert found["regions"] == []
    assert [status for status, _ in found["refused"]] == ["404", "400", "400", "404", "501"]
    lost, shared, top, missing, region = [sentence for _, sentence in found["refused"]]
    assert "no model 'nowhere'" in lost
    assert "lies in shared memory, which this server does not support" in shared
    assert "asks for classification, which this server does not offer" in top
    assert "nowhere" in missing
    assert "shared memory is not supported" in region
