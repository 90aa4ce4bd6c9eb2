"""A link that plays a schedule, on a clock of its own."""

import asyncio
import fcntl
import os
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge_client.relay.player import fine_loop, play, relay_until_stopped
from edge_client.relay.relay import Relay
from edge_client.relay.schedule import Blackout, Schedule
from partitioner.bundle.contents import allow_more_files
from partitioner.network.link import Link
from partitioner.network.trace_files import read_trace
from tests.kit.clocks import FakeClock
from tests.kit.sockets import echo, exchange

LINK = Link(8e6, 8e6, 0.02)


async def test_relay_follows_its_schedule_on_any_clock(trace_file: Path) -> None:
    time, heard = FakeClock(0.0), []
    schedule = Schedule(LINK, read_trace(trace_file, at_end="hold"), (Blackout(3.5, 1.0),))
    relay = Relay("127.0.0.1:0", "127.0.0.1:1", LINK)
    await play(
        relay,
        schedule,
        lambda at, link: heard.append((at, link and link.uplink_bps)),
        clock=time,
        sleep=time.sleep,
    )
    assert heard == [(0.0, 4e6), (2.0, None), (3.0, 1e6), (3.5, None), (4.5, 1e6)]
    assert time.now_s == 4.5


async def test_nothing_gets_through_a_blackout_and_all_of_it_afterwards() -> None:
    async with echo() as server, Relay("127.0.0.1:0", server, Link(1e9, 1e9, 0.0)) as relay:
        relay.set_link(None)
        waiting = asyncio.create_task(exchange(relay.address, b"x" * 5000))
        for _ in range(200):
            await asyncio.sleep(0)
        assert relay.carried_bytes == (0, 0)
        assert not waiting.done()
        relay.set_link(LINK)
        assert await waiting == b"x" * 5000


async def test_bytes_can_be_changed_on_the_way() -> None:
    async with (
        echo() as server,
        Relay(
            "127.0.0.1:0", server, Link(1e9, 1e9, 0.0), mangle=lambda data: data.upper()
        ) as relay,
    ):
        assert await exchange(relay.address, b"abc") == b"ABC"


async def test_link_whose_changes_cannot_be_told_ends_with_the_reason(trace_file: Path) -> None:
    def gone(_time_s: float, _link: Link | None) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    schedule = Schedule(LINK, read_trace(trace_file))
    with pytest.raises(BrokenPipeError):
        await relay_until_stopped("127.0.0.1:0", "127.0.0.1:1", schedule, lambda _: None, gone)


@pytest.mark.parametrize("begun_with_many", [False, True])
def test_loop_of_a_relay_watches_more_files_than_select_can(begun_with_many: bool) -> None:
    async def heard() -> bytes:
        ours, theirs = socket.socketpair()
        with theirs, ours, os.fdopen(fcntl.fcntl(ours, fcntl.F_DUPFD, 1500), "rb") as high:
            ready = asyncio.Event()
            asyncio.get_running_loop().add_reader(high, ready.set)
            asyncio.get_running_loop().call_later(0.001, theirs.send, b"x")
            await ready.wait()
            asyncio.get_running_loop().remove_reader(high)
            return high.read(1)

    allow_more_files()  # of a shell there are 1,024
    with ExitStack() as open_files:
        while begun_with_many and open_files.enter_context(Path(os.devnull).open()).fileno() < 1100:
            pass
        with asyncio.Runner(loop_factory=fine_loop) as runner:
            assert runner.run(heard()) == b"x"
