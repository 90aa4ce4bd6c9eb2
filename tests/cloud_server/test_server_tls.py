"""A server that speaks TLS, and everything of ours that asks it."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from cloud_server.cli.main import app
from cloud_server.options import ServerOptions
from cloud_server.rest.web import serve_web
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from partitioner.profiles.remote import server_machine
from protos.errors import CredentialError, UnreachableError, UsageError
from protos.rpc import channels
from protos.rpc.endpoints import Endpoint
from protos.security.channel_security import ChannelSecurity
from protos.security.server_tls import ServerTls
from protos.security.tls_files import TlsFiles
from tests.kit.certificates import DAY, Authority
from tests.kit.cloud_calls import TIMEOUT_S


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


def secured(bundle: Bundle, files: TlsFiles, **more: Any) -> CloudServer:
    return CloudServer(
        bundle.path,
        tls_cert=files.cert,
        tls_key=files.key,
        tls_client_ca=files.authorities,
        **more,
    )


def trusting(authority: Authority, own: TlsFiles | None = None) -> ChannelSecurity:
    own = own or TlsFiles()
    return ChannelSecurity(files=TlsFiles(own.cert, own.key, authority.path))


def test_server_speaks_tls_and_nothing_else(residual_bundle: Bundle, authority: Authority) -> None:
    with secured(residual_bundle, authority.issue()) as server:
        assert server_machine(Endpoint(server.address, trusting(authority)))
        with pytest.raises(UnreachableError, match="hangs up at once, as a server that wants TLS"):
            server_machine(server.address)


def test_server_lets_in_who_shows_a_certificate_that_it_trusts(
    residual_bundle: Bundle, authority: Authority
) -> None:
    camera = authority.issue("camera-1", name="camera")
    with secured(residual_bundle, authority.issue(clients=authority.path)) as server:
        assert server.options.authenticates
        assert server_machine(Endpoint(server.address, trusting(authority, camera)))
        with pytest.raises(UnreachableError, match="wants a certificate of its clients"):
            server_machine(Endpoint(server.address, trusting(authority)))


async def test_http_speaks_tls_by_the_same_files_and_renews_them(
    residual_bundle: Bundle, authority: Authority
) -> None:
    def trust() -> Any:
        import ssl

        return ssl.create_default_context(cafile=str(authority.path))

    async with (
        secured(residual_bundle, authority.issue()) as server,
        serve_web(server, "127.0.0.1:0") as address,
    ):
        port = address.rpartition(":")[2]
        async with httpx.AsyncClient(verify=trust()) as kept:
            page = f"https://localhost:{port}/v2/health/ready"
            assert (await kept.get(page)).json() == {"ready": True}
            await asyncio.to_thread(authority.issue, "127.0.0.1")
            assert (await kept.get(page)).json() == {"ready": True}  # the connection that there is
            async with httpx.AsyncClient(verify=trust()) as new:
                with pytest.raises(httpx.ConnectError, match="Hostname mismatch"):
                    await new.get(page)
                page = f"https://127.0.0.1:{port}/v2/health/ready"
                assert (await new.get(page)).json() == {"ready": True}
        async with httpx.AsyncClient() as plain:
            with pytest.raises(httpx.RemoteProtocolError):
                await plain.get(f"http://127.0.0.1:{port}/v2/health/ready")


async def test_http_asks_for_certificates_where_grpc_does(
    residual_bundle: Bundle, authority: Authority
) -> None:
    import ssl

    own = authority.issue("camera-1", name="camera")
    async with (
        secured(residual_bundle, authority.issue(clients=authority.path)) as server,
        serve_web(server, "127.0.0.1:0") as address,
    ):
        trust = ssl.create_default_context(cafile=str(authority.path))
        async with httpx.AsyncClient(verify=trust) as stranger:
            with pytest.raises(httpx.HTTPError):
                await stranger.get(f"https://{address}/v2/health/live")
        trust.load_cert_chain(str(own.cert), str(own.key))
        async with httpx.AsyncClient(verify=trust) as known:
            assert (await known.get(f"https://{address}/v2/health/live")).json() == {"live": True}


def test_server_beyond_this_machine_needs_tls_or_somebody_who_says_so(
    residual_bundle: Bundle, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UsageError, match=r"`listen` 0\.0\.0\.0:0 is open .* Give `tls_cert` and"):
        CloudServer(residual_bundle.path, "0.0.0.0:0").__enter__()
    for options in ({"insecure": True}, {"files": authority.issue()}):
        caplog.clear()
        files = options.pop("files", TlsFiles())
        with secured(residual_bundle, files, listen="0.0.0.0:0", **options) as server:
            port = server.address.rpartition(":")[2]
        said = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
        assert len(said) == 1
        assert said[0].startswith(f"INSECURE: 0.0.0.0:{port} is open to other machines")
        assert ("can read" in said[0]) == ("insecure" in options)


async def test_http_beyond_this_machine_needs_the_same_and_says_so(
    residual_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    async with CloudServer(residual_bundle.path) as server:
        with pytest.raises(UsageError, match=r"`http` 0\.0\.0\.0:0 is open to other machines"):
            async with serve_web(server, "0.0.0.0:0"):
                pass
    async with (
        CloudServer(residual_bundle.path, insecure=True) as server,
        serve_web(server, "0.0.0.0:0") as address,
    ):
        assert f"INSECURE: {address} is open to other machines" in caplog.text


def test_files_that_do_not_go_together_are_told_before_anything_is_loaded(
    authority: Authority,
) -> None:
    files = authority.issue(valid=(-9 * DAY, -DAY))
    with pytest.raises(UsageError, match="a certificate needs its key"):
        ServerOptions("nowhere", tls_cert=files.cert)
    with pytest.raises(UsageError, match="`tls_client_ca` asks clients for certificates"):
        ServerOptions("nowhere", tls_client_ca=authority.path)


def test_server_does_not_start_with_a_certificate_that_expired(
    residual_bundle: Bundle, authority: Authority
) -> None:
    files = authority.issue(valid=(-9 * DAY, -DAY))
    with pytest.raises(CredentialError, match="expired on"):
        secured(residual_bundle, files).__enter__()


async def test_server_looks_at_its_files_while_nobody_connects(
    residual_bundle: Bundle, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = asyncio.Event()
    monkeypatch.setattr(ServerTls, "look", lambda _: looked.set())
    async with secured(residual_bundle, authority.issue()):
        await asyncio.wait_for(looked.wait(), TIMEOUT_S)


async def test_stranger_who_says_nothing_is_let_go(
    residual_bundle: Bundle, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "HANDSHAKE_MS", 50)
    async with secured(residual_bundle, authority.issue()) as server:
        host, _, port = server.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        assert await asyncio.wait_for(reader.read(1), TIMEOUT_S) == b""
        writer.close()


def test_health_command_asks_by_tls_and_says_what_keeps_it_from_that(
    residual_bundle: Bundle, authority: Authority
) -> None:
    def asked(*words: str) -> Any:
        return CliRunner().invoke(app, ["health", "--json", *words])

    with secured(residual_bundle, authority.issue()) as server:
        where = ("--cloud", server.address)
        assert (
            json.loads(asked(*where, "--tls-ca", str(authority.path)).stdout)["status"] == "SERVING"
        )
        found = asked(*where)
        assert found.exit_code == 1
        assert json.loads(found.stdout)["status"] == "no answer (UNAVAILABLE)"
        assert "hangs up at once, as a server that wants TLS does" in " ".join(found.stderr.split())
        assert "--tls-ca" in found.stderr
