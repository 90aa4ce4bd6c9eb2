"""Traces: what is read, what is refused, and when bytes are through, against hand and a fine grid."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from partitioner.network.link import Link
from partitioner.network.trace import parse_at_end
from partitioner.network.trace_files import parse_format, read_trace
from protos.errors import TraceError, UsageError

Write = Callable[[str], Path]


@pytest.fixture
def written(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "t.trace"
        path.write_text(text)
        return path

    return write


def test_rates_hold_until_the_next_line_and_the_last_as_long_as_usual(written: Write) -> None:
    trace = read_trace(written("# measured\n10 4\n\n12 1\n14\t0\n"))
    assert trace.uplink_bps.times == (0, 2, 4)
    assert trace.duration_s == 6
    assert [trace.uplink_bps_at(t) for t in (0, 1.99, 2, 4, 5.9, 6, 8)] == [
        4e6, 4e6, 1e6, 0, 0, 4e6, 1e6,
    ]  # fmt: skip
    assert trace.uplink_bps.mean == pytest.approx((4e6 + 1e6 + 0) * 2 / 6)


def test_message_waits_out_a_black_out(written: Write) -> None:
    path = written("0 8\n1 0\n3 4\n4 4\n")  # 1 MB/s for 1 s, nothing for 2 s, 0.5 MB/s for 2 s
    trace = read_trace(path)
    # From 0.5 s: 500 kB until 1 s, the other 250 kB take 0.5 s from 3 s on.
    assert trace.uploaded_at(750e3, 0.5) == pytest.approx(3.5)
    assert trace.uploaded_at(500e3, 0.5) == pytest.approx(1.0)
    assert trace.uploaded_at(0, 1.5) == 1.5
    # One round of 5 s carries 2 MB: 5 MB from 0 on are two rounds and the first second of the third.
    assert trace.uploaded_at(5e6, 0) == pytest.approx(11.0)
    # Held, the last 0.5 MB/s go on: 2 MB by 5 s, 3 MB more in 6 s.
    assert read_trace(path, at_end="hold").uploaded_at(5e6, 0) == pytest.approx(11.0)
    held = read_trace(written("0 8\n1 0\n"), at_end="hold")
    assert math.isinf(held.uploaded_at(2e6, 0))


def test_mahimahi_packets_are_through_at_their_milliseconds(written: Write) -> None:
    trace = read_trace(written("2\n4\n4\n7\n107\n"))
    packet = 1500
    ends = [trace.uploaded_at(count * packet, 0) for count in range(1, 6)]
    # The two packets of 4 ms share the 2 ms before: the first is through in their middle.
    assert ends == pytest.approx([0.002, 0.003, 0.004, 0.007, 0.107])
    assert trace.duration_s == 0.107
    assert trace.uploaded_at(6 * packet, 0) == pytest.approx(0.109)


def test_csv_may_say_all_of_a_link(written: Write) -> None:
    trace = read_trace(
        written("rtt_ms, time_s,uplink_mbps,downlink_mbps,note\n30,0,1,5,a\n50,1,2,6,b\n")
    )
    assert trace.link_at(1.5, Link(9, 9, 9)) == Link(2e6, 6e6, 0.05)
    short = read_trace(written("time_s,uplink_mbps\n0,1\n1,0\n"))
    assert short.link_at(0.5, Link(9, 7, 0.1)) == Link(1e6, 7, 0.1)
    assert short.link_at(1.5, Link(9, 7, 0.1)) is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("# nothing\n\n", "is empty"),
        ("time_s,uplink_mbps\n", "has a header and no rows"),
        ("0 1\n2 1\n1 1\n", "line 3: found time 1 s after 2 s, wanted times that ascend"),
        ("0 1\n1 1\n1 1\n", "line 3: found time 1 s after 1 s"),
        ("-1 1\n1 1\n", "line 1: found -1, wanted a time in s of 0 or more"),
        ("0 1\n1 -4\n", "line 2: found -4, wanted a rate in Mbit/s of 0 or more"),
        ("0 1\n1 nan\n", "line 2: found 'nan'"),
        ("0 1\n1 1e305\n", "line 2: found 1e305, wanted less as a rate in Mbit/s"),
        ("time_s,uplink_mbps,rtt_ms\n0,1,1e308\n", "line 2: found 1e308, wanted less as rtt_ms"),
        (f"{'9' * 400} 1\n", "found '999"),
        (f"{'9' * 5000}\n", "unknown format: line 1 is '999"),
        (f"1\n{'9' * 400}\n", "line 2: found '999"),
        ("0 1\n1\n", "line 2: found '1', wanted two numbers"),
        ("0 1\n1 1\n2 1\n90 1\n", "line 4: found a gap of 88 s after 2 s, where 1 s are usual"),
        ("0 0\n1 0\n", "carries nothing"),
        ("time_s,uplink_mbps\n0,1\n1,\n", "line 3: found nothing, wanted uplink_mbps"),
        ("time_s,uplink_mbps\n0,1\n1\n", "line 3: found 1 fields, wanted 2"),
        ("time_s,rtt_ms\n0,1\n", "a header without uplink_mbps"),
        ("5\n3\n", "line 2: found 3 ms after 5 ms"),
        ("5\nx\n", "line 2: found 'x', wanted one whole number of milliseconds"),
        ("bandwidth: high\n", "unknown format: line 1 is 'bandwidth: high'"),
        ("0,5\n1,5\n", "unknown format"),
        ("²\n3\n", "unknown format"),
        ("1\n²\n", "line 2: found '²', wanted one whole number of milliseconds"),
    ],
)  # fmt: skip
def test_bad_trace_is_refused_with_its_line(text: str, sentence: str, written: Write) -> None:
    with pytest.raises(TraceError) as caught:
        read_trace(written(text))
    assert sentence in str(caught.value)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TraceError, match="is no text"):
        read_trace(tmp_path / "b")
    with pytest.raises(TraceError, match="cannot be read"):
        read_trace(tmp_path / "missing")
    with pytest.raises(TraceError, match="cannot be read"):
        read_trace(tmp_path)


def test_given_format_and_end_are_checked(written: Write) -> None:
    assert parse_format(None) is None
    assert parse_format("csv") == "csv"
    assert parse_at_end("hold") == "hold"
    with pytest.raises(UsageError, match="rates, mahimahi, csv"):
        parse_format("pcap")
    with pytest.raises(UsageError, match="loop or hold"):
        parse_at_end("stop")
    with pytest.raises(TraceError, match="two numbers"):
        read_trace(written("1\n2\n"), "rates")
