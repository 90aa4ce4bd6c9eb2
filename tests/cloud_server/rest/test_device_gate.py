"""The gate on REST: the same devices, roles and limits as behind gRPC."""

import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud_server.rest.app import create_app
from cloud_server.rest.device_gate import device_gate
from cloud_server.security.registered_device import Limits, Role
from cloud_server.security.registration import rotated
from cloud_server.security.rules import REST_RULES
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from tests.kit.devices import NOW, device_of, enrol, put

INFER = "/v2/models/residual/infer"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    enrol(tmp_path / "devices.json", "nobody")
    return tmp_path / "devices.json"


@asynccontextmanager
async def client_of(bundle: Bundle, path: Path) -> AsyncIterator[Any]:
    """What asks for a page with a token; the answer. `later` is sent once the file was looked at again."""
    async with CloudServer(bundle.path, devices=path) as server:
        gate = server.gate
        if gate is None:
            raise AssertionError("a server with devices has a gate")
        transport = httpx.ASGITransport(app=create_app(server.served, device_gate(gate)))
        async with httpx.AsyncClient(transport=transport, base_url="http://cloud") as client:

            async def ask(
                method: str,
                page: str,
                token: str = "",
                later: Callable[[], bytes] | None = None,
                packing: str = "",
                **more: Any,
            ) -> httpx.Response:
                if later is not None:
                    more["content"] = behind(later)
                headers = {"authorization": f"Bearer {token}"} if token else {}
                headers |= {"content-encoding": packing} if packing else {}
                return await client.request(method, page, headers=headers, **more)

            async def behind(later: Callable[[], bytes]) -> AsyncIterator[bytes]:
                yield b" "
                content = later()
                await gate.refresh()
                yield content

            yield ask


def document(bundle: Bundle) -> dict[str, Any]:
    (spec,) = bundle.inputs
    shape = [1, *spec.oip_shape[1:]]
    size = shape[1] * shape[2] * shape[3]
    return {
        "inputs": [
            {"name": spec.name, "datatype": spec.oip_datatype, "shape": shape, "data": [0.0] * size}
        ]
    }


async def test_every_gated_route_has_a_rule_and_every_rule_a_route(
    residual_bundle: Bundle, path: Path
) -> None:
    async with CloudServer(residual_bundle.path, devices=path) as server:
        paths = set(create_app(server.served).openapi()["paths"])
    gated = {one for one in paths if "health" not in one and one not in ("/livez", "/readyz")}
    assert gated == set(REST_RULES)


@pytest.mark.parametrize("role", Role)
async def test_role_opens_its_own_pages_and_no_others(
    residual_bundle: Bundle, path: Path, role: Role
) -> None:
    token = enrol(path, "device", role)
    async with client_of(residual_bundle, path) as ask:
        for template, rule in REST_RULES.items():
            page = template.replace("{name}", "residual").replace("{version}", "1")
            orders = page.endswith("/infer") or "/repository/" in page
            method = "POST" if orders else "GET"
            assert (await ask(method, page)).status_code == 401, page
            assert (await ask(method, page, "spt_wrong")).status_code == 401, page
            found = await ask(method, page, token.text)
            if rule.roles and role not in rule.roles:
                assert found.status_code == 403, page
                assert f"lacks the role {rule.roles[0]}" in found.json()["error"]
            else:
                assert found.status_code not in (401, 403), page


async def test_model_of_another_device_is_refused_in_the_same_words_as_none(
    residual_bundle: Bundle, path: Path
) -> None:
    mine = enrol(path, "mine", "infer", models=["resid*"])
    other = enrol(path, "other", "infer", models=["digits"])
    body = document(residual_bundle)
    async with client_of(residual_bundle, path) as ask:
        assert (await ask("POST", INFER, mine.text, json=body)).status_code == 200
        assert (await ask("GET", "/v2/models/residual", mine.text)).status_code == 200
        for name in ("residual", "secret"):
            for method, page in (
                ("POST", f"/v2/models/{name}/infer"),
                ("GET", f"/v2/models/{name}"),
            ):
                found = await ask(method, page, other.text, json=body)
                assert found.status_code == 403
                assert found.json()["error"] == (
                    f"device other may not use the model {name!r}. It may use: digits."
                )


async def test_request_over_the_rate_is_told_when_to_try_again(
    residual_bundle: Bundle, path: Path
) -> None:
    token = enrol(path, "slow", "infer", limits=Limits(requests_per_s=1 / 60))
    async with client_of(residual_bundle, path) as ask:
        assert (await ask("POST", INFER, token.text, json=document(residual_bundle))).is_success
        again = await ask("POST", INFER, token.text, json=document(residual_bundle))
    assert again.status_code == 429
    assert 50 < int(again.headers["retry-after"]) <= 60
    assert "slow may take" in again.json()["error"]


async def test_every_page_counts(residual_bundle: Bundle, path: Path) -> None:
    token = enrol(path, "slow", limits=Limits(requests_per_s=1 / 60))
    async with client_of(residual_bundle, path) as ask:
        assert (await ask("GET", "/v2", token.text)).status_code == 200
        assert (await ask("GET", "/v2", token.text)).status_code == 429
        assert (await ask("GET", "/v2/health/ready", token.text)).status_code == 200


@pytest.mark.parametrize(
    ("more", "status"),
    [({"limits": Limits(bytes_per_s=1)}, 429), ({"models": ["other"]}, 403)],
    ids=["over its limit", "another model"],
)
async def test_body_that_its_device_may_not_send_is_not_unpacked(
    residual_bundle: Bundle,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: dict[str, Any],
    status: int,
) -> None:
    token = enrol(path, "cam", "infer", **more)
    unpacked = []

    def unpack(body: memoryview, *_: object) -> memoryview:
        unpacked.append(body)
        return body

    monkeypatch.setattr("cloud_server.rest.payloads.infer_job.unpack", unpack)
    async with client_of(residual_bundle, path) as ask:
        await ask("POST", INFER, token.text, content=b"{}")  # takes what a second brings
        unpacked.clear()
        for size in (10, 100_000):  # at once, and in a thread of its own
            found = await ask("POST", INFER, token.text, content=b" " * size)
            assert found.status_code == status
    assert unpacked == []


async def test_what_a_packed_body_unfolds_to_counts(residual_bundle: Bundle, path: Path) -> None:
    """By what comes there would be room for twenty of these in a second."""
    token = enrol(path, "cam", "infer", limits=Limits(bytes_per_s=100_000))
    body = gzip.compress(json.dumps(document(residual_bundle)).encode() + b" " * 3_000_000)
    assert len(body) < 5_000
    async with client_of(residual_bundle, path) as ask:
        first = await ask("POST", INFER, token.text, content=body, packing="gzip")
        second = await ask("POST", INFER, token.text, content=body, packing="gzip")
    assert (first.status_code, second.status_code) == (200, 429)
    assert int(second.headers["retry-after"]) > 5  # of the 30 s that the first owes


async def test_large_body_is_unpacked_once_and_answered(
    residual_bundle: Bundle, path: Path
) -> None:
    token = enrol(path, "cam", "infer", models=["residual"])
    body = json.dumps(document(residual_bundle)).encode()
    async with client_of(residual_bundle, path) as ask:
        small = await ask("POST", INFER, token.text, content=body)
        large = await ask("POST", INFER, token.text, content=body + b" " * 100_000)
        broken = await ask("POST", INFER, token.text, content=b"{" * 100_000)
    assert small.status_code == large.status_code == 200
    assert small.json()["outputs"] == large.json()["outputs"]
    assert broken.status_code == 400


@pytest.mark.parametrize("page", [INFER, "/v2/repository/index"])
async def test_body_that_comes_after_its_token_was_revoked_is_refused(
    residual_bundle: Bundle, path: Path, page: str
) -> None:
    device, token = device_of("cam", "infer", "admin", limits=Limits(requests_per_s=2))
    put(path, device)
    infer = page == INFER
    body = json.dumps(document(residual_bundle) if infer else {}).encode()

    def revoking() -> bytes:
        put(path, rotated(device, NOW, NOW, None)[0])
        return body

    async with client_of(residual_bundle, path) as ask:
        # Two requests a second: neither counts twice.
        assert (await ask("POST", page, token.text, later=lambda: body)).status_code == 200
        assert (await ask("POST", page, token.text, later=revoking)).status_code == 401
