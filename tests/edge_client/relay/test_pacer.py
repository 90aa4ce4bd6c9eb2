"""When bytes leave a line of a given rate and delay."""

import pytest

from edge_client.relay.pacer import OneWay, Pacer


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
    pacer.follow(OneWay(80_000, 1.0))
    assert pacer.admit(100, now=0.0) == pytest.approx(0.01 + 0.01 + 1.0)


@pytest.mark.parametrize(("rate_bps", "chunk"), [(1e5, 1448), (2e7, 5000), (1e12, 65536)])
def test_chunks_are_two_milliseconds_of_the_line(rate_bps: float, chunk: int) -> None:
    assert Pacer(OneWay(rate_bps, 0.0)).chunk_bytes == chunk
