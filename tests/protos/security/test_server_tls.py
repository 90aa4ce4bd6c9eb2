"""A server's certificate that is renewed while it serves."""

import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import grpc
import grpc.aio
import pytest

from protos.errors import CredentialError
from protos.rpc.endpoints import Endpoint
from protos.security.channel_security import ChannelSecurity
from protos.security.server_tls import ServerTls
from protos.security.tls_files import TlsFiles
from tests.kit.certificates import DAY, Authority
from tests.kit.echo_server import echoing


def trusting(path: Path, own: TlsFiles | None = None, name: str = "") -> ChannelSecurity:
    own = own or TlsFiles()
    return ChannelSecurity(files=TlsFiles(own.cert, own.key, path), server_name=name)


@asynccontextmanager
async def connected(address: str, security: ChannelSecurity) -> AsyncIterator[grpc.aio.Channel]:
    async with Endpoint(address, security).open_async() as channel:
        yield channel


async def is_let_in(address: str, security: ChannelSecurity) -> bool:
    async with connected(address, security) as channel:
        try:
            await channel.unary_unary("/a/b")(b"", timeout=5)
        except grpc.aio.AioRpcError:
            return False
    return True


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


async def test_new_certificate_counts_for_new_connections_and_disturbs_no_old_one(
    authority: Authority,
) -> None:
    files = authority.issue("first.example")
    first = trusting(authority.path, name="first.example")
    second = trusting(authority.path, name="second.example")
    async with echoing(ServerTls(files).credentials()) as address, connected(address, first) as old:
        stream = old.stream_stream("/a/stream")()
        await stream.write(b"1")
        assert await stream.read() == b"1"
        authority.issue("second.example")
        assert await is_let_in(address, second)
        assert not await is_let_in(address, first)
        await stream.write(b"2")
        assert await stream.read() == b"2"
        stream.cancel()


async def test_broken_new_certificate_never_replaces_a_good_one_and_is_said_once(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    files = authority.issue()
    assert files.cert
    assert files.key
    good = {path: path.read_bytes() for path in files.paths}
    client = trusting(authority.path)
    async with echoing(ServerTls(files).credentials()) as address:
        for path, broken in (
            (files.cert, good[files.cert][:200]),
            (files.key, b"nonsense"),
            (files.key, authority.issue(name="other").key.read_bytes()),  # type: ignore[union-attr]
        ):
            caplog.clear()
            path.write_bytes(broken)
            assert await is_let_in(address, client)
            assert await is_let_in(address, client)
            said = [each.getMessage() for each in caplog.records if each.levelno > logging.INFO]
            assert len(said) == 1, said
            path.write_bytes(good[path])
            assert await is_let_in(address, client)
        authority.issue(valid=(-9 * DAY, -DAY))
        assert await is_let_in(address, client)
        assert "expired on" in caplog.text


async def test_authorities_of_clients_are_renewed_too(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "theirs")
    trusted = tmp_path / "clients.pem"
    trusted.write_bytes(authority.path.read_bytes())
    files = authority.issue(clients=trusted)
    ours = trusting(authority.path, authority.issue("camera-1", name="camera"))
    theirs = trusting(authority.path, other.issue("camera-2", name="camera"))
    async with echoing(ServerTls(files).credentials()) as address:
        assert await is_let_in(address, ours)
        assert not await is_let_in(address, theirs)
        assert not await is_let_in(address, trusting(authority.path))
        trusted.write_bytes(other.path.read_bytes())
        assert not await is_let_in(address, ours)
        assert await is_let_in(address, theirs)


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> ssl.SSLObject:
    """Shake hands in memory, and return the client's end."""
    ends = [ssl.MemoryBIO(), ssl.MemoryBIO()]
    one = client.wrap_bio(ends[0], ends[1], server_hostname=name)
    other = server.wrap_bio(ends[1], ends[0], server_side=True)
    left = [one, other, one, other]
    for end in left:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return one


def test_http_begins_each_connection_with_the_newest_certificate(authority: Authority) -> None:
    server = ServerTls(authority.issue("first.example")).context()
    client = ssl.create_default_context(cafile=str(authority.path))
    assert handshake(server, client, "first.example").version() == "TLSv1.3"
    files = authority.issue("second.example")
    assert handshake(server, client, "second.example").getpeercert()
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, client, "first.example")
    assert files.key
    files.key.write_bytes(b"nonsense")
    assert handshake(server, client, "second.example").getpeercert()


def test_http_asks_clients_for_certificates_where_authorities_are_named(
    authority: Authority,
) -> None:
    server = ServerTls(authority.issue(clients=authority.path)).context()
    client = ssl.create_default_context(cafile=str(authority.path))
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        handshake(server, client, "localhost")
    own = authority.issue("camera-1", name="camera")
    client.load_cert_chain(str(own.cert), str(own.key))
    assert handshake(server, client, "localhost").getpeercert()


def test_server_does_not_start_with_a_certificate_of_no_use(authority: Authority) -> None:
    with pytest.raises(CredentialError, match="expired on"):
        ServerTls(authority.issue(valid=(-9 * DAY, -2 * DAY)))


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    caplog.clear()
    return found


def test_certificate_that_expires_is_told_once_soon_before_and_once_when_it_has(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    now = datetime.now(UTC)
    clock = [now]
    tls = ServerTls(authority.issue(valid=(-DAY, 30 * DAY)), lambda: clock[0])
    for days, words in ((22, ""), (24, "expires on"), (25, ""), (31, "expired on"), (32, "")):
        clock[0] = now + days * DAY
        tls.look()
        found = said(caplog)
        assert len(found) == bool(words)
        assert not words or words in found[0]
    authority.issue(valid=(-DAY, 60 * DAY))
    tls.look()
    assert not said(caplog)


def test_broken_files_are_told_though_nobody_connects(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    files = authority.issue(valid=(-DAY, 30 * DAY))
    tls = ServerTls(files)
    assert files.key
    files.key.write_bytes(b"nonsense")
    tls.look()
    tls.look()
    (found,) = said(caplog)
    assert "the one before stays in use" in found
    assert "own.key holds no private key" in found
