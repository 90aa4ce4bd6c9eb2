"""Devices that show a certificate to HTTP, as they do to gRPC."""

import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud_server.rest.client_certificates import certificate_names, names_in
from cloud_server.rest.web import serve_web
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos.security.tls_files import TlsFiles
from tests.kit.certificates import Authority
from tests.kit.devices import certified, device_of, put


def showing(authority: Authority, own: TlsFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.path))
    context.load_cert_chain(str(own.cert), str(own.key))
    return context


async def test_device_is_the_name_of_its_certificate_on_every_request_of_a_connection(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    authority, devices = Authority(tmp_path / "ca"), tmp_path / "devices.json"
    by_token, token = device_of("by-token", "infer")
    put(devices, certified("camera-1", "infer"), by_token)
    served = authority.issue(clients=authority.path)
    own = {
        name: showing(authority, authority.issue(name, name=name))
        for name in ("camera-1", "camera-2")
    }
    async with (
        CloudServer(
            residual_bundle.path,
            tls_cert=served.cert,
            tls_key=served.key,
            tls_client_ca=served.authorities,
            devices=devices,
        ) as server,
        serve_web(server, "127.0.0.1:0") as address,
    ):
        page = f"https://{address}/v2/models/residual"
        async with httpx.AsyncClient(verify=own["camera-1"]) as known:
            assert [(await known.get(page)).status_code for _ in range(2)] == [200, 200]
            wrong = await known.get(page, headers={"authorization": "Bearer spt_wrong"})
            assert wrong.status_code == 401  # a token, where there is one, says it alone
        async with httpx.AsyncClient(verify=own["camera-2"]) as unknown:
            refused = await unknown.get(page)
            assert refused.status_code == 401
            assert "is of no device that this server knows" in refused.json()["error"]
            shown = await unknown.get(page, headers={"authorization": f"Bearer {token.text}"})
            assert shown.status_code == 200


@pytest.mark.parametrize(
    ("certificate", "names"),
    [
        ({}, ()),
        ({"subject": ((("commonName", "a"),),)}, ("a",)),
        (
            {
                "subject": ((("countryName", "XX"),), (("commonName", "a"),)),
                "subjectAltName": (("DNS", "a"), ("DNS", "b"), ("URI", "spiffe://c")),
            },
            ("a", "b", "spiffe://c"),
        ),
        # gRPC tells the first alone, and both listeners have to know the same device.
        ({"subject": ((("commonName", "a"),), (("commonName", "admin"),))}, ("a",)),
    ],
)
def test_names_are_the_common_and_the_alternative_ones(
    certificate: dict[str, Any], names: tuple[str, ...]
) -> None:
    assert names_in(certificate) == names


def test_request_without_a_connection_of_ours_has_no_names() -> None:
    assert certificate_names({}) == ()
    assert certificate_names({"state": {}}) == ()
