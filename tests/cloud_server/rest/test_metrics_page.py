"""The page of metrics of a running server tells what was asked of it."""

import shutil
from pathlib import Path

import httpx
import pytest

from cloud_server.models import tails
from cloud_server.rest.metrics_page import MetricsPage
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import MANIFEST_FILE
from tests.kit.certificates import Authority
from tests.kit.cloud_calls import crossing
from tests.kit.observations import families
from tests.kit.rest_calls import document_of, infer_path, rest_client


async def pages(client: httpx.AsyncClient) -> dict[str, dict[tuple[str, ...], float]]:
    return families((await client.get("/metrics")).text)


async def test_requests_tails_and_pages_are_counted(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = "cut-05"
    # A small one may take no page more than others have given back meanwhile.
    monkeypatch.setattr(tails, "open_weighed", lambda opening: (opening(), 4096))
    document = document_of(residual_bundle, cut, crossing(residual_bundle, cut, batch=2))
    async with CloudServer(residual_bundle.path) as server, rest_client(server) as client:
        version = server.store.find("residual").version
        key = (cut, f"residual.{cut}", version)
        for _ in range(3):
            await client.post(infer_path(residual_bundle, cut), json=document)
        for n in range(5):
            await client.post(f"/v2/models/made-up-{n}/infer", json=document)
            await client.get(f"/made-up/{n}")
        found = await pages(client)
        opened = await client.get("/metrics", headers={"accept": "application/openmetrics-text"})
        await server.stop()
        gone = await pages(client)
    assert found["nv_inference_request_success"][key] == 3
    assert found["nv_inference_count"][key] == 6
    assert found["splitpoint_request_seconds_count"][key] == 3
    assert found["splitpoint_tail_bytes"][key] == 4096
    assert found["splitpoint_tail_loads_total"][()] == 1
    # All made-up models are one series, and so are all made-up pages.
    made_up = {k: v for k, v in found["splitpoint_request_failures_total"].items() if key != k}
    assert made_up == {("NOT_FOUND", "", "", ""): 5}
    requests = found["splitpoint_http_requests_total"]
    assert requests["GET", "none", "404"] == 5
    assert requests["POST", "/v2/models/{name}/infer", "200"] == 3
    assert requests["POST", "/v2/models/{name}/infer", "404"] == 5
    assert len(requests) == 3
    assert (found["splitpoint_ready"][()], gone["splitpoint_ready"][()]) == (1, 0)
    assert opened.headers["content-type"].startswith("application/openmetrics-text")
    assert opened.text.endswith("# EOF\n")


async def test_refused_versions_roll_outs_certificates_and_disks_are_shown(
    net_versions: list[Bundle], tmp_path: Path
) -> None:
    root = tmp_path / "bundles"
    for number, bundle in enumerate(net_versions[:2]):
        shutil.copytree(bundle.path, root / str(number))
    shutil.copytree(net_versions[2].path, root / "damaged")
    (root / "damaged" / MANIFEST_FILE).write_text("{}")
    files = Authority(tmp_path / "ca").issue()
    async with CloudServer(
        root, tls_cert=files.cert, tls_key=files.key, memory_bytes=1000, processes=1
    ) as server:
        (versions,) = server.store.versions.values()
        server.rollouts.start(versions[0].name, versions[0].number, 0.25)
        server.rollouts.steer(versions[0].name, "back", "", 0)
        told = server.served.upkeep()
        page = families((await MetricsPage(server.served).write(""))[0].decode())
    digest = versions[0].digest[:12]
    assert told.refused == {"damaged"}
    assert told.rollouts == [(versions[0].name, digest, "back", 0.25)]
    assert page["splitpoint_bundle_refused"] == {(): 1}
    assert page["splitpoint_rollout_state"]["back", digest] == 1
    assert page["splitpoint_tail_budget_bytes"][()] == 1000
    assert set(page["splitpoint_tls_certificate_not_after_seconds"]) == {("own",)}
    assert set(page["splitpoint_disk_free_bytes"]) == {("bundles",), ("rollouts",)}
