"""The relay: rate and delay by arithmetic, and bytes that arrive as they were sent."""

import asyncio
from collections.abc import Awaitable

import pytest

from edge_client.cloud.stream import GrpcTransport
from edge_client.relay.pacer import OneWay, Pacer
from edge_client.relay.relay import Relay
from partitioner.network.link import Link
from protos.errors import UsageError
from protos.rpc.addresses import check_server, split_address
from tests.kit.clocks import FakeClock
from tests.kit.sockets import echo, exchange


def test_bytes_leave_at_the_rate_and_arrive_after_the_delay() -> None:
    pacer = Pacer(OneWay(rate_bps=8000, delay_s=0.5))  # 1000 bytes a second
    assert pacer.admit(100, now=10.0) == pytest.approx(10.0 + 0.1 + 0.5)
    assert pacer.admit(100, now=10.0) == pytest.approx(10.0 + 0.2 + 0.5)  # behind the first
    assert pacer.admit(100, now=20.0) == pytest.approx(20.0 + 0.1 + 0.5)  # the line was idle


def test_next_chunk_is_admitted_only_shortly_before_the_line_is_free() -> None:
    pacer = Pacer(OneWay(8000, 0.0), horizon_s=0.005)
    assert pacer.wait_s(now=0.0) == 0
    pacer.admit(100, now=0.0)  # busy until 0.1
    assert pacer.wait_s(now=0.0) == pytest.approx(0.095)
    assert pacer.wait_s(now=0.096) == 0


def test_late_wake_ups_cost_no_rate() -> None:
    pacer = Pacer(OneWay(1e6, 0.0))
    now = due = 0.0
    for _ in range(1000):
        now += pacer.wait_s(now) + 0.001  # a timer that always wakes 1 ms late
        due = pacer.admit(1448, now)
    assert due == pytest.approx(1000 * 1448 * 8 / 1e6, rel=0.001)


def test_change_of_the_line_takes_hold_with_the_next_chunk() -> None:
    pacer = Pacer(OneWay(8000, 0.0))
    pacer.admit(10, now=0.0)  # until 0.01
    pacer.line = OneWay(80_000, 1.0)
    assert pacer.admit(100, now=0.0) == pytest.approx(0.01 + 0.01 + 1.0)


@pytest.mark.parametrize(("rate_bps", "chunk"), [(1e5, 1448), (2e7, 5000), (1e12, 65536)])
def test_chunks_are_two_milliseconds_of_the_line(rate_bps: float, chunk: int) -> None:
    assert Pacer(OneWay(rate_bps, 0.0)).chunk_bytes == chunk


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
    async with echo() as server:
        port = int(server.rpartition(":")[2])
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
        relay.drop_connections()
        assert await until_the_end(reader.read()) == b""
        writer.close()
        relay.set_link(Link(1e8, 1e8, 0.001))
        assert relay.link.rtt_s == 0.001
        assert await exchange(relay.address, b"again") == b"again"


async def test_address_that_is_taken_is_a_clear_error() -> None:
    async with echo() as server:
        with pytest.raises(UsageError, match="cannot listen at"):
            await Relay(server, server, Link(1e6, 1e6, 0)).start()


@pytest.mark.parametrize(
    "address", ["here", "a:b:1", "::1:50", "[::1:50", "[a]:1", "[]:1", ":1", "a:-1", "a b:1", "a:١"]
)
def test_address_is_host_and_port_and_nothing_else(address: str) -> None:
    link = Link(1e6, 1e6, 0.0)
    with pytest.raises(UsageError, match=r"to listen on\. Write HOST:PORT"):
        Relay(address, "127.0.0.1:1", link)
    with pytest.raises(UsageError, match=r"to pass on to\. Write HOST:PORT"):
        Relay("127.0.0.1:0", address, link)


def test_address_of_a_server_has_a_port_that_answers() -> None:
    assert check_server("edge.local:50051") == "edge.local:50051"
    assert check_server("unix:/run/splitpoint.sock") == "unix:/run/splitpoint.sock"
    with pytest.raises(UsageError, match=r"'localhost' is no address of a server"):
        GrpcTransport("localhost")
    with pytest.raises(UsageError) as caught:
        check_server("http://127.0.0.1:50051")
    assert "Leave out http:// and any path: write HOST:PORT, such as 10.0.0.2" in str(caught.value)
    assert "any free port" not in str(caught.value)
    with pytest.raises(UsageError, match="port 0, where no server answers"):
        check_server("localhost:0")


def test_address_of_ipv6_stands_in_brackets() -> None:
    assert split_address("[::1]:50051") == ("::1", 50051)
    assert split_address("edge.local:0") == ("edge.local", 0)
    with pytest.raises(UsageError, match="Ports go from 0 to 65535"):
        split_address("a:65536")


def test_relay_to_no_port_is_refused() -> None:
    with pytest.raises(UsageError, match="'127.0.0.1:0' has port 0, where no server answers"):
        Relay("127.0.0.1:0", "127.0.0.1:0", Link(1e6, 1e6, 0.0))
