"""The routes of the Open Inference Protocol by REST, against the unsplit model and the protocol's words."""

import asyncio
import gzip
import json
import zlib

import numpy as np
import pytest
from fastapi import Request

from cloud_server.rest.app import create_app
from cloud_server.rest.payloads.bodies import LateBodyError
from cloud_server.rest.refusals import refusal
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos.errors import DeniedError, LateError, OverloadedError, UnauthenticatedError
from protos.serving.answers import Job
from tests.kit.cloud_calls import Gate, crossing, uncut
from tests.kit.rest_calls import document_of, error_of, infer_path, rest_client


async def test_rest_tells_health_and_metadata(residual_bundle: Bundle) -> None:
    async with CloudServer(residual_bundle.path) as server, rest_client(server) as client:
        about = (await client.get("/v2")).json()
        assert about["name"] == "splitpoint"
        assert {"binary_tensor_data", "statistics"} <= set(about["extensions"])
        for page in ("/livez", "/v2/health/live"):
            assert (await client.get(page)).json() == {"live": True}
        for page in ("/readyz", "/v2/health/ready"):
            assert (await client.get(page)).json() == {"ready": True}
        model = (await client.get("/v2/models/residual")).json()
        assert model["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3, 32, 32]}]
        (version,) = model["versions"]
        assert (await client.get(f"/v2/models/residual/versions/{version}")).json() == model
        for page in ("ready", f"versions/{version}/ready"):
            found = (await client.get(f"/v2/models/residual/{page}")).json()
            assert found == {"name": "residual", "ready": True}
        for page in ("resnet", "resnet/ready", "resnet/stats", "residual/versions/0/ready"):
            unknown = await client.get(f"/v2/models/{page}")
            assert unknown.status_code == 404
            assert "It has: " in error_of(unknown.content)
        await server.stop()
        for page in ("/readyz", "/v2/health/ready", "/v2/models/residual/ready"):
            assert (await client.get(page)).status_code == 503
        assert (await client.get("/livez")).status_code == 200


@pytest.mark.parametrize("packing", ["", "gzip", "deflate"])
async def test_json_answer_is_that_of_the_unsplit_model(
    residual_bundle: Bundle, packing: str
) -> None:
    pack = {"": bytes, "gzip": gzip.compress, "deflate": zlib.compress}[packing]
    cut = "cut-05"
    document = {"id": "7", **document_of(residual_bundle, cut, crossing(residual_bundle, cut, 3))}
    headers = {"accept-encoding": packing, **({"content-encoding": packing} if packing else {})}
    async with CloudServer(residual_bundle.path) as server, rest_client(server) as client:
        body = pack(json.dumps(document).encode())
        found = await client.post(infer_path(residual_bundle, cut), content=body, headers=headers)
    assert (found.status_code, found.headers.get("content-encoding", "")) == (200, packing)
    answer = found.json()
    assert (answer["model_name"], answer["id"]) == (f"residual.{cut}", "7")
    assert answer["parameters"]["compute_ns"] > 0
    (output,) = answer["outputs"]
    (wanted,) = uncut(residual_bundle, 3).values()
    assert (output["datatype"], output["shape"]) == ("FP32", list(wanted.shape))
    np.testing.assert_allclose(output["data"], wanted.ravel(), rtol=1e-4, atol=1e-5)


async def test_binary_data_may_be_sent_and_asked_for(residual_bundle: Bundle) -> None:
    values = crossing(residual_bundle, "cloud", 1, batch=2)
    text = json.dumps(
        {
            "parameters": {"binary_data_output": True},
            "inputs": [
                {
                    "name": "x",
                    "datatype": "FP32",
                    "shape": [2, 3, 32, 32],
                    "parameters": {"binary_data_size": values["x"].nbytes},
                }
            ],
        }
    ).encode()
    length = {"inference-header-content-length": str(len(text))}
    async with CloudServer(residual_bundle.path) as server, rest_client(server) as client:
        body = text + values["x"].tobytes()
        found = await client.post(infer_path(residual_bundle), content=body, headers=length)
        wrong = await client.post(
            infer_path(residual_bundle),
            content=body,
            headers={"inference-header-content-length": "-1"},
        )
    assert found.status_code == 200, found.text
    assert found.headers["content-type"] == "application/octet-stream"
    size = int(found.headers["inference-header-content-length"])
    (output,) = json.loads(found.content[:size])["outputs"]
    (wanted,) = uncut(residual_bundle, 1, batch=2).values()
    assert output["parameters"] == {"binary_data_size": wanted.nbytes}
    got = np.frombuffer(found.content[size:], "<f4").reshape(output["shape"])
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    assert (wrong.status_code, "Inference-Header-Content-Length is '-1'" in wrong.text) == (
        400,
        True,
    )


async def test_error_has_the_status_and_the_sentence_of_its_cause(residual_bundle: Bundle) -> None:
    good = document_of(residual_bundle, "cloud", crossing(residual_bundle, "cloud"))
    (x,) = good["inputs"]
    asked = {**good, "outputs": [{"name": "gemm_44", "parameters": {"classification": 3}}]}
    cases = [
        ("residual", {}, 400, "inputs: Field required"),
        ("residual", {"inputs": [{**x, "datatype": "INT32"}]}, 400, "no INT32"),
        ("residual", {"inputs": [{**x, "name": "z"}]}, 400, "it takes exactly: x float32"),
        ("residual", {"inputs": [{**x, "shape": [3, 1, 32, 32], "data": x["data"][0]}]}, 400, "x"),
        ("residual", asked, 400, "asks for classification, which this server does not offer"),
        ("residual", {**good, "parameters": {"bundle_digest": "0"}}, 409, "has the digest 0"),
        ("nowhere", good, 404, "no model 'nowhere'"),
    ]
    limit = 1 << 20
    async with (
        CloudServer(residual_bundle.path, max_message_bytes=limit) as server,
        rest_client(server) as client,
    ):
        for model, document, status, words in cases:
            found = await client.post(f"/v2/models/{model}/infer", json=document)
            assert (found.status_code, words in error_of(found.content)) == (status, True), found
        path = infer_path(residual_bundle)
        bomb = gzip.compress(b" " * (limit + 1))
        for body, headers in ((bytes(limit + 1), {}), (bomb, {"content-encoding": "gzip"})):
            found = await client.post(path, content=body, headers=headers)
            assert (found.status_code, "Send less at a time" in found.text) == (413, True)
        packed = await client.post(path, content=b"", headers={"content-encoding": "br"})
        assert (packed.status_code, "Content-Encoding 'br'" in packed.text) == (415, True)
        assert packed.headers["accept-encoding"] == "gzip, deflate"
        for method, page, status in (("GET", "/nowhere", 404), ("GET", path, 405)):
            found = await client.request(method, page)
            assert (found.status_code, bool(error_of(found.content))) == (status, True)


async def test_head_gets_what_get_gets_but_for_the_body(residual_bundle: Bundle) -> None:
    pages = {"/livez": 200, "/v2/models/residual": 200, "/v2/models/nix": 404, "/docs": 200}
    async with CloudServer(residual_bundle.path) as server, rest_client(server) as client:
        for page, status in pages.items():
            whole, head = await client.get(page), await client.head(page)
            assert (head.status_code, head.content) == (status, b"")
            assert head.headers == whole.headers
        assert (await client.head(infer_path(residual_bundle))).status_code == 405
        assert server.served.pages["HEAD", "/livez", "200"] == 1
        assert (await client.post("/livez")).status_code == 405


def test_body_that_does_not_come_is_the_callers_delay() -> None:
    answered = refusal(LateBodyError("the body did not come."))
    assert (answered.status_code, answered.headers["connection"]) == (408, "close")
    assert refusal(LateError("no answer in time.")).status_code == 504


async def test_full_server_says_when_to_try_again(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = document_of(residual_bundle, "cloud", crossing(residual_bundle, "cloud"))
    gate = Gate(monkeypatch)
    async with (
        CloudServer(residual_bundle.path, workers=1, max_queue=1) as server,
        rest_client(server) as client,
    ):
        path = infer_path(residual_bundle)
        first = asyncio.ensure_future(client.post(path, json=document))
        await asyncio.to_thread(gate.entered.acquire)
        refused = await client.post(path, json=document)
        gate.opened.set()
        assert (await first).status_code == 200
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert "Try again later" in error_of(refused.content)


async def test_bug_is_an_answer_that_tells_nothing_of_itself(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with CloudServer(residual_bundle.path) as server, rest_client(server) as client:

        def broken(_job: Job) -> None:
            raise KeyError("a secret")

        monkeypatch.setattr(
            type(server.served.answerer), "submit", lambda _engine, job: broken(job)
        )
        document = document_of(residual_bundle, "cloud", crossing(residual_bundle, "cloud"))
        found = await client.post(infer_path(residual_bundle), json=document)
    assert found.status_code == 500
    assert "its log says why" in error_of(found.content)
    assert "secret" not in found.text
    assert "a secret" in caplog.text


async def test_gate_is_asked_before_all_but_health_and_the_pages(residual_bundle: Bundle) -> None:
    import httpx

    errors = {
        "": UnauthenticatedError("who?"), "a": DeniedError("no."), "b": OverloadedError("wait.", 2.5)
    }  # fmt: skip

    async def gate(request: Request) -> None:
        raise errors[request.headers.get("authorization", "")]

    async with CloudServer(residual_bundle.path) as server:
        app = create_app(server.served, gate)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://cloud") as client:
            open_pages = ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/docs")
            for page in (*open_pages, "/openapi.json"):
                assert (await client.get(page)).status_code == 200
            paths = (await client.get("/openapi.json")).json()["paths"]
            for path in paths.keys() - set(open_pages):
                for method in paths[path]:
                    found = await client.request(method, path)
                    assert (found.status_code, error_of(found.content)) == (401, "who?"), path
            denied = await client.get("/v2", headers={"authorization": "a"})
            busy = await client.get("/v2", headers={"authorization": "b"})
    assert denied.status_code == 403
    assert (busy.status_code, busy.headers["retry-after"]) == (429, "3")


async def test_statistics_are_numbers(residual_bundle: Bundle) -> None:
    document = document_of(residual_bundle, "cloud", crossing(residual_bundle, "cloud", batch=3))
    async with CloudServer(residual_bundle.path) as server, rest_client(server) as client:
        for _ in range(2):
            await client.post(infer_path(residual_bundle), json=document)
        await client.post(infer_path(residual_bundle), json={"inputs": []})
        (found,) = (await client.get("/v2/models/residual/stats")).json()["model_stats"]
        same = await client.get(f"/v2/models/residual/versions/{found['version']}/stats")
        everything = (await client.get("/v2/models/stats")).json()["model_stats"]
        models = set(server.store.models)
    assert same.json()["model_stats"] == [found]
    assert {one["name"] for one in everything} == models
    assert (found["inference_count"], found["execution_count"]) == (6, 2)
    stages = found["inference_stats"]
    assert (stages["success"]["count"], stages["fail"]["count"]) == (2, 1)
    assert 0 < stages["compute_infer"]["ns"] < stages["success"]["ns"]
    assert [(one["batch_size"], one["compute_infer"]["count"]) for one in found["batch_stats"]] == [
        (3, 2)
    ]
