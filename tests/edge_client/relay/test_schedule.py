"""Links whose rate, black-outs and resets change over time, as a file or a flag says."""

import math
from pathlib import Path

import pytest

from edge_client.relay.schedule import Blackout, Schedule, read_schedule
from partitioner.network.link import Link
from partitioner.network.trace_files import read_trace
from protos.errors import TraceError, UsageError

LINK = Link(8e6, 8e6, 0.02)


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
    schedule = Schedule(LINK, None, (Blackout(10, 5), Blackout(30, 1)), reset_every_s=12.0)
    assert [schedule.link_at(t) for t in (9.9, 10.0, 14.9, 15.0, 30.5)] == [
        LINK, None, None, LINK, None,
    ]  # fmt: skip
    moments, now = [], 0.0
    while now < 36:
        now = schedule.next_change_s(now)
        moments.append(now)
    assert moments == [10, 12, 15, 24, 30, 31, 36]


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
        (("5mbit", None, "0ms", None, "loop", (), "0s"), "cannot be reset every"),
    ],
)
def test_schedule_that_makes_no_sense_is_refused(
    arguments: tuple[object, ...], words: str | None, trace_file: Path
) -> None:
    if words is None:
        arguments, words = (*arguments[:3], trace_file, *arguments[4:]), "loop or hold"
    with pytest.raises(UsageError, match=words):
        read_schedule(*arguments)  # type: ignore[arg-type]


def test_columns_without_a_trace_are_refused() -> None:
    with pytest.raises(UsageError, match="`columns` are of a trace's file"):
        read_schedule("5mbit", None, "0ms", None, "loop", (), None, "time=1:ms,uplink=2:kbps")


def test_trace_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be read"):
        read_schedule(None, None, "0ms", tmp_path / "none.txt", "loop", (), None)


def test_trace_of_another_table_is_played_by_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("when,up\n1700000000000,500\n1700000001000,250\n")
    found = read_schedule(None, None, "0ms", path, "loop", (), None, "time=when:ms,uplink=up:kbps")
    assert [found.link_at(t) for t in (0.5, 1.5)] == [
        Link(500e3, 500e3, 0.0),
        Link(250e3, 250e3, 0.0),  # as the uplink
    ]


def test_downlink_that_nothing_says_is_as_the_uplink_of_the_moment(trace_file: Path) -> None:
    traced = read_schedule(None, None, "10ms", trace_file, "loop", (), None)
    assert traced.link_at(1.5) == Link(4e6, 4e6, 0.01)
    assert traced.link_at(3.5) == Link(1e6, 1e6, 0.01)
    given = read_schedule(None, "8mbit", "10ms", trace_file, "loop", (), None)
    assert given.link_at(3.5) == Link(1e6, 8e6, 0.01)
    assert str(traced) == f"trace trace.txt, at first {traced.link_at(0.0)}"
