"""The relay: rate and delay by arithmetic, and bytes that arrive as they were sent."""

import asyncio
from collections.abc import Awaitable

import pytest

from edge_client.relay.relay import Relay
from partitioner.network.link import Link
from protos.errors import UsageError
from tests.kit.clocks import FakeClock
from tests.kit.sockets import echo, exchange, free_port


async def until_the_end(reading: Awaitable[bytes]) -> bytes:
    """What came before the connection was ended, or reset."""
    try:
        return await reading
    except ConnectionError:
        return b""


async def test_bytes_come_through_whole_and_so_does_the_end() -> None:
    data = bytes(range(256)) * 4000
    time = FakeClock(0.0)
    async with (
        echo() as server,
        Relay("127.0.0.1:0", server, Link(8e6, 8e6, 0.04), clock=time, sleep=time.sleep) as relay,
    ):
        assert await exchange(relay.address, data) == data
        assert relay.carried_bytes == (len(data), len(data))
    # 1,024,000 bytes at 8 Mbit/s take 1.024 s, and no echo is faster than that.
    assert time.now_s >= 1.024


async def test_connections_share_the_rate() -> None:
    data = bytes(200_000)
    time = FakeClock(0.0)
    async with (
        echo() as server,
        Relay("127.0.0.1:0", server, Link(8e6, 8e9, 0.0), clock=time, sleep=time.sleep) as relay,
    ):
        answers = await asyncio.gather(*(exchange(relay.address, data) for _ in range(3)))
    assert answers == [data] * 3
    # 600,000 bytes at 1,000,000 a second, less what it wakes early.
    assert time.now_s >= 0.6 - 0.001


async def test_caller_sees_that_nobody_is_behind_the_relay(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Relay("127.0.0.1:0", "127.0.0.1:1", Link(1e6, 1e6, 0.0)) as relay:
        assert await until_the_end(exchange(relay.address, b"x")) == b""
        assert await until_the_end(exchange(relay.address, b"x")) == b""
        assert relay.carried_bytes == (0, 0)
    assert caplog.text.count("nobody answers at 127.0.0.1:1") == 1


async def test_relay_says_once_that_somebody_answers_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = free_port()
    server = f"127.0.0.1:{port}"
    async with Relay("127.0.0.1:0", server, Link(1e6, 1e6, 0.0)) as relay:
        assert await until_the_end(exchange(relay.address, b"x")) == b""
        async with echo(port):
            for _ in range(2):
                assert await exchange(relay.address, b"x") == b"x"
    assert caplog.text.count(f"{server} answers again") == 1


async def test_dropped_connections_end_and_new_ones_are_taken() -> None:
    async with echo() as server, Relay("127.0.0.1:0", server, Link(1e9, 1e9, 0.0)) as relay:
        host, port = relay.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"x")
        assert await reader.read(1) == b"x"
        relay.reset_connections()
        assert await until_the_end(reader.read()) == b""
        writer.close()
        relay.set_link(Link(1e8, 1e8, 0.001))
        assert relay.link.rtt_s == 0.001
        assert await exchange(relay.address, b"again") == b"again"


async def test_address_that_is_taken_is_a_clear_error() -> None:
    async with echo() as server:
        with pytest.raises(UsageError, match="cannot listen on"):
            await Relay(server, server, Link(1e6, 1e6, 0)).start()


def test_relay_to_no_port_is_refused() -> None:
    with pytest.raises(UsageError, match="'127.0.0.1:0' has port 0, where no server answers"):
        Relay("127.0.0.1:0", "127.0.0.1:0", Link(1e6, 1e6, 0.0))
