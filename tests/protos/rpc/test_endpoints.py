"""Connections to a server, with what they carry, and what is read anew for each."""

import logging
from pathlib import Path

import grpc.aio
import pytest

from protos.errors import CredentialError, UsageError
from protos.rpc.endpoints import Endpoint
from protos.security.channel_security import ChannelSecurity
from protos.security.server_tls import ServerTls
from protos.security.tls_files import TlsFiles
from tests.kit.certificates import Authority
from tests.kit.echo_server import Echo, echoing

TOKEN = "spt_0123456789abcdef"


def tokens(echo: Echo) -> list[str | None]:
    return [each.get("authorization") for each in echo.seen]


def write(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o600)
    return path


async def test_token_is_sent_with_every_kind_of_call() -> None:
    echo = Echo()
    async with echoing(echo=echo) as address:
        endpoint = Endpoint(address, ChannelSecurity(token=TOKEN))
        async with endpoint.open_async() as channel:
            assert (
                await channel.unary_unary("/a/one")(b"1", timeout=5, metadata=(("x", "y"),)) == b"1"
            )
            assert [each async for each in channel.unary_stream("/a/list")(b"2")] == [b"2"]
            assert await channel.stream_unary("/a/sum")(iter([b"3", b"4"])) == b"34"
            stream = channel.stream_stream("/a/stream")(iter([b"5"]))
            assert [each async for each in stream] == [b"5"]
    assert tokens(echo) == [f"Bearer {TOKEN}"] * 4
    assert echo.seen[0]["x"] == "y"


async def test_calls_that_wait_carry_the_token_too() -> None:
    import asyncio

    echo = Echo()

    def ask(endpoint: Endpoint) -> list[bytes]:
        with endpoint.open() as channel:
            return [
                channel.unary_unary("/a/one")(b"1", timeout=5),
                *channel.unary_stream("/a/list")(b"2"),
                channel.stream_unary("/a/sum")(iter([b"3", b"4"])),
                *channel.stream_stream("/a/stream")(iter([b"5"])),
            ]

    async with echoing(echo=echo) as address:
        secured = Endpoint(address, ChannelSecurity(token=TOKEN))
        assert await asyncio.to_thread(ask, secured) == [b"1", b"2", b"34", b"5"]
        assert tokens(echo) == [f"Bearer {TOKEN}"] * 4
        await asyncio.to_thread(ask, Endpoint(address))
    assert tokens(echo)[4:] == [None] * 4


async def test_new_token_is_sent_from_the_next_connection_on(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    echo = Echo()
    async with echoing(echo=echo) as address:
        endpoint = Endpoint(address, ChannelSecurity(token_file=file))
        for written in ("second", "", "third"):
            async with endpoint.open_async() as channel:
                await channel.unary_unary("/a/one")(b"", timeout=5)
            write(file, written)
    assert tokens(echo) == [f"Bearer {TOKEN}", "Bearer second", "Bearer second"]
    warned = [each.getMessage() for each in caplog.records if each.levelno > logging.INFO]
    assert len(warned) == 1
    assert "is empty" in warned[0]
    assert TOKEN not in caplog.text


async def test_renewed_certificate_is_shown_from_the_next_connection_on(tmp_path: Path) -> None:
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    own = old.issue("camera-1", name="camera")
    served = new.issue(clients=new.path)
    files = TlsFiles(own.cert, own.key, new.path)
    async with echoing(ServerTls(served).credentials()) as address:
        endpoint = Endpoint(address, ChannelSecurity(files=files))
        async with endpoint.open_async() as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await channel.unary_unary("/a/one")(b"", timeout=5)
        renewed = new.issue("camera-1", name="camera")
        for mine, theirs in zip((own.cert, own.key), (renewed.cert, renewed.key), strict=True):
            assert mine
            assert theirs
            mine.write_bytes(theirs.read_bytes())
        async with endpoint.open_async() as channel:
            assert await channel.unary_unary("/a/one")(b"1", timeout=5) == b"1"


def test_endpoint_of_no_use_is_told_when_it_is_made(file: Path) -> None:
    with pytest.raises(UsageError, match="no address of a server"):
        Endpoint("cloud")
    with pytest.raises(UsageError, match="in the clear"):
        Endpoint("10.0.0.2:1", ChannelSecurity(token_file=file))
    with pytest.raises(CredentialError, match="cannot be read"):
        Endpoint("10.0.0.2:1", ChannelSecurity(files=TlsFiles(authorities=file.parent / "none")))
    file.chmod(0o644)
    with pytest.raises(CredentialError, match="open to other users"):
        Endpoint("127.0.0.1:1", ChannelSecurity(token_file=file))


def test_endpoint_is_its_address_as_text_and_shows_no_token() -> None:
    endpoint = Endpoint("127.0.0.1:1", ChannelSecurity(token=TOKEN))
    assert str(endpoint) == "127.0.0.1:1"
    assert TOKEN not in f"{endpoint!r} {vars(endpoint)} {vars(endpoint)['_means'].newest()}"
    assert Endpoint.of(endpoint) is endpoint
    assert Endpoint.of("127.0.0.1:1").address == "127.0.0.1:1"
