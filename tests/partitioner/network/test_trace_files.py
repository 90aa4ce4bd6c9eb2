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
        ("0 1\n1 1e305\n", "line 2: found 1e305, wanted a rate in Mbit/s of at most 1e+09"),
        (
            "time_s,uplink_mbps,rtt_ms\n0,1,1e308\n",
            "line 2: found 1e308, wanted a number in column rtt_ms of at most 1e+09",
        ),
        (f"{'9' * 400} 1\n", "found '999"),
        (f"{'9' * 5000}\n", "unknown format: line 1 is '999"),
        (f"1\n{'9' * 400}\n", "line 2: found '999"),
        ("0 1\n1\n", "line 2: found '1', wanted two numbers"),
        ("0 1\n1 1\n2 1\n90 1\n", "line 4: found a gap of 88 s after 2 s, where 1 s are usual"),
        ("0 0\n1 0\n", "carries nothing"),
        ("time_s,uplink_mbps\n0,1\n1,\n", "line 3: found nothing, wanted a number in column uplink_mbps"),
        ("time_s,uplink_mbps\n0,1\n1\n", "line 3: found 1 field, wanted 2"),
        ("time_s,rtt_ms\n0,1\n", "a header without uplink in a known unit"),
        ("5\n3\n", "line 2: found 3 ms after 5 ms"),
        ("5\nx\n", "line 2: found 'x', wanted one whole number of milliseconds"),
        ("bandwidth: high\n", "unknown format: line 1 is 'bandwidth: high'"),
        ("0,5\n1,5\n", "which is two columns or a decimal comma"),
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


HEADER = "run_num,seq_num,movingSpeed,Throughput,tower_id\n"


def test_times_of_an_epoch_are_told_by_their_size(written: Write) -> None:
    for unit in (1, 1e3, 1e6, 1e9):
        rows = [f"{(1.7e9 + second) * unit:.0f} {rate}" for second, rate in ((0, 4), (2, 1))]
        trace = read_trace(written("\n".join(rows)))
        assert trace.uplink_bps.times == pytest.approx((0, 2))
        assert trace.duration_s == pytest.approx(4)


@pytest.mark.parametrize("first", ["1289406399", "1453121790686"])
def test_log_of_received_bytes_is_what_came_in_before_each_line(written: Write, first: str) -> None:
    # 500 kB in 1 s are 4 Mbit/s, 250 kB in 0.5 s too, 0 B in 1 s nothing.
    rows = [(2000, 500_000, 1000), (2500, 250_000, "0500"), (3500, 0, 1000)]
    lines = [f"{first} {at} 51.03 3.73 {size} {span}" for at, size, span in rows]
    trace = read_trace(written("\n".join(lines)))
    assert trace.uplink_bps.times == pytest.approx((0, 1, 1.5))
    assert trace.uplink_bps.values == pytest.approx((4e6, 4e6, 0))
    assert trace.duration_s == pytest.approx(2.5)
    assert trace.uploaded_at(600_000, 0) == pytest.approx(1.2)


def test_runs_of_lumos5g_follow_each_other(written: Write) -> None:
    rows = "1,1,0.1,900,2\n1,2,0.1,0,2\n1,4,0.1,30,2\n2,1,0.1,5,\n"
    trace = read_trace(written(HEADER + rows))
    assert trace.uplink_bps.times == (0, 1, 3, 4)
    assert trace.uplink_bps.values == (900e6, 0, 30e6, 5e6)


@pytest.mark.parametrize(
    "text",
    [
        "time_s;uplink_mbps\n0;5\n1;6.5\n",
        "time_s\tuplink_mbps\n0\t5\n1\t6.5\n",
        "time_s|uplink_mbps\n0|5\n1|6.5\n",
        "Timestamp (ms),Throughput [kbps]\n0,5000\n1000,6500\n",
        '# measured\ntime,"uplink_Mbps","a, b"\n1700000000,5,"x, y"\n1700000001,6.5,z\n',
        "time,uplink bps\n2016-08-01 00:02:36,5000000\n2016-08-01 00:02:37,6500000\n",
        "\ufefftime_s,up_MBps\r\n0,0.625\r\n1,0.8125\r\n",
        "0,5.0\n1,6.5\n",
        "0 5\r\n1 6.5\r\n",
    ],
)
def test_table_is_read_with_its_delimiter_quotes_and_units(text: str, tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-16"):
        path = tmp_path / encoding
        path.write_text(text.removeprefix("\ufeff") if encoding == "utf-16" else text, encoding)
        trace = read_trace(path)
        assert trace.uplink_bps.times == pytest.approx((0, 1))
        assert trace.uplink_bps.values == pytest.approx((5e6, 6.5e6))


@pytest.mark.parametrize(
    "columns", ["time=when:ms,uplink=up:kBps,rtt=ping:s", "time=1:ms,uplink=3:kBps,rtt=4:s"]
)
def test_columns_read_any_table_by_name_or_number(columns: str, written: Write) -> None:
    path = written("when,cell,up,ping\n0,a,625,0.05\n1000,b,1250,0.1\n")
    trace = read_trace(path, columns=columns)
    assert trace.link_at(1.5, Link(9, 7, 9)) == Link(10e6, 7, 0.1)
    headless = read_trace(written("0 625 50\n1000 1250 100\n"), columns="time=1:ms,uplink=2:kBps")
    assert headless.uplink_bps.values == pytest.approx((5e6, 10e6))


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ("time=when", "leaves out uplink"),
        ("time=when,uplink=up", "says no unit"),
        ("time=when,uplink=up:parsec", "no unit of uplink. There are: bps"),
        ("time=when,uplink=down:kbps", "names 'down', and the trace has when, up"),
        ("time=when,uplink=3:kbps", "names '3'"),
        ("speed=up:kbps", "is not understood"),
    ],
)
def test_columns_that_cannot_be_are_refused(columns: str, sentence: str, written: Write) -> None:
    with pytest.raises(UsageError, match=sentence):
        read_trace(written("when,up\n0,1\n"), columns=columns)
    with pytest.raises(UsageError, match="mahimahi is none"):
        read_trace(written("when,up\n0,1\n"), "mahimahi", columns="time=1,uplink=2:bps")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "time_s;uplink_mbps\n0;5,3\n",
            "found '5,3', wanted a number in column uplink_mbps with a decimal point",
        ),
        ("0 5,3\n1 6,1\n", "found '5,3', wanted a rate in Mbit/s with a decimal point"),
        ("0,5 1,3\n", "found '0,5', wanted a time in s with a decimal point"),
        ("time_s,uplink\n0,5\n", "a header without uplink in a known unit"),
        ("unit_id,dtime,bytes_sec\n3,2016-08-01 00:02:36,5\n", "Say it with `columns`"),
        ("1 2 3 4 5 0\n", "found 0 ms since the last line"),
        ("1 2000 3 4 5 1000\n1 1500 3 4 5 1000\n", "wanted times that ascend"),
        ("1 2 3 4 5 1000\n1 2\n", "found 2 fields, wanted 6"),
        (HEADER, "has a header and no rows"),
        (HEADER + "1,1,0.1,,2\n", "found nothing, wanted a number in column Throughput"),
    ],
)
def test_table_that_cannot_be_read_says_what_to_write(
    text: str, sentence: str, written: Write
) -> None:
    with pytest.raises(TraceError) as caught:
        read_trace(written(text))
    assert sentence in str(caught.value)


def test_text_in_a_column_of_numbers_is_named_with_its_column(written: Write) -> None:
    path = written("ts,station,kbps\n0,A,100\n1,B,200\n")
    with pytest.raises(TraceError, match="found 'A', wanted a number in column station"):
        read_trace(path, columns="time=ts:ms,uplink=station:kbps")
