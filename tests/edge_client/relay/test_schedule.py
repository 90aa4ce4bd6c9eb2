"""A link that plays a trace, black-outs and resets: on a clock of its own."""

import asyncio
import math
from pathlib import Path

import pytest

from edge_client.relay.player import play, relay_until_stopped
from edge_client.relay.relay import Relay
from edge_client.relay.schedule import Blackout, Schedule, read_schedule
from partitioner.network.link import Link
from partitioner.network.trace_files import read_trace
from protos.errors import TraceError, UsageError
from tests.kit.clocks import FakeClock
from tests.kit.sockets import echo, exchange

LINK = Link(8e6, 8e6, 0.02)


@pytest.fixture
def trace_file(tmp_path: Path) -> Path:
    """4 Mbit/s for 2 s, nothing for 1 s, 1 Mbit/s for 1 s (the median interval)."""
    path = tmp_path / "trace.txt"
    path.write_text("0 4\n1 4\n2 0\n3 1\n")
    return path


def test_trace_sets_the_uplink_and_the_rest_is_as_given(trace_file: Path) -> None:
    schedule = Schedule(LINK, read_trace(trace_file))
    assert schedule.link_at(1.5) == Link(4e6, 8e6, 0.02)
    assert schedule.link_at(2.5) is None
    assert schedule.link_at(3.5) == Link(1e6, 8e6, 0.02)
    assert schedule.link_at(4.5) == Link(4e6, 8e6, 0.02)  # it loops
    moments, now = [], 0.0
    while now < 6:
        now = schedule.next_change_s(now)
        moments.append(now)
    assert moments == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def test_trace_that_holds_changes_no_more_after_its_end(trace_file: Path) -> None:
    schedule = Schedule(LINK, read_trace(trace_file, at_end="hold"))
    assert schedule.link_at(100.0) == Link(1e6, 8e6, 0.02)
    assert schedule.next_change_s(2.0) == 3.0
    assert schedule.next_change_s(3.0) == math.inf


def test_blackouts_and_resets_come_on_top() -> None:
    schedule = Schedule(LINK, None, (Blackout(10, 5), Blackout(30, 1)), drop_every_s=12.0)
    assert [schedule.link_at(t) for t in (9.9, 10.0, 14.9, 15.0, 30.5)] == [
        LINK, None, None, LINK, None,
    ]  # fmt: skip
    moments, now = [], 0.0
    while now < 36:
        now = schedule.next_change_s(now)
        moments.append(now)
    assert moments == [10, 12, 15, 24, 30, 31, 36]


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


def test_schedule_is_read_from_what_people_write(trace_file: Path) -> None:
    found = read_schedule("5mbit", None, "40ms", None, "loop", ["10s+500ms"], "30s")
    assert found == Schedule(Link(5e6, 5e6, 0.04), None, (Blackout(10.0, 0.5),), 30.0)
    traced = read_schedule(None, None, "0ms", trace_file, "hold", (), None)
    assert traced.link == Link(4e6, 4e6, 0.0)
    assert str(traced).startswith("trace trace.txt")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((None, None, "0ms", None, "loop", (), None), "a link needs a rate"),
        (("5mbit", None, "0ms", None, "stop", (), None), None),
        (("5mbit", None, "0ms", None, "loop", ("10s",), None), "'10s' is no black-out"),
        (("5mbit", None, "0ms", None, "loop", ("10s+",), None), r"'10s\+' is no black-out"),
        (("5mbit", None, "0ms", None, "loop", ("+5s",), None), r"'\+5s' is no black-out"),
        (("5mbit", None, "0ms", None, "loop", ("10s+0s",), None), "changes nothing"),
        (("5mbit", None, "0ms", None, "loop", (), "0s"), "cannot be dropped every"),
    ],
)
def test_schedule_that_makes_no_sense_is_refused(
    arguments: tuple[object, ...], words: str | None, trace_file: Path
) -> None:
    if words is None:
        arguments, words = (*arguments[:3], trace_file, *arguments[4:]), "loop or hold"
    with pytest.raises(UsageError, match=words):
        read_schedule(*arguments)  # type: ignore[arg-type]


def test_trace_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be read"):
        read_schedule(None, None, "0ms", tmp_path / "none.txt", "loop", (), None)


async def test_link_whose_changes_cannot_be_told_ends_with_the_reason(trace_file: Path) -> None:
    def gone(_time_s: float, _link: Link | None) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    schedule = Schedule(LINK, read_trace(trace_file))
    with pytest.raises(BrokenPipeError):
        await relay_until_stopped("127.0.0.1:0", "127.0.0.1:1", schedule, lambda _: None, gone)
