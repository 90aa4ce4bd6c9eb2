"""The pace of a download: hand-computed rates, and half of the time for frames."""

import pytest

from edge_client.updates.pace import DownloadPace

KB = 1 << 10


def played(pace: DownloadPace, link_bps: float, pieces: int, rtt_s: float = 0.0) -> float:
    """Play a download of so many pieces; return the seconds that it took."""
    now_s = 0.0
    for _ in range(pieces):
        now_s += pace.wait_s(now_s)
        size, asked_at = pace.piece_bytes, now_s
        now_s += rtt_s + 8 * size / link_bps
        pace.came(size, asked_at, now_s)
    return now_s + pace.wait_s(now_s)


def test_link_is_free_as_long_as_each_piece_took() -> None:
    pace = DownloadPace()
    pace.came(32 * KB, 10.0, 10.08)
    assert pace.wait_s(10.08) == pytest.approx(0.08)
    assert pace.wait_s(10.2) == 0.0


def test_piece_grows_to_a_tenth_of_a_second_and_no_further() -> None:
    pace = DownloadPace()
    played(pace, 20e6, 20)
    assert pace.piece_bytes == pytest.approx(0.1 * 20e6 / 8, rel=0.01)  # 250 kB
    played(pace, 1e9, 20)
    assert pace.piece_bytes == 512 * KB


def test_piece_shrinks_on_a_slow_link_down_to_eight_kilobytes() -> None:
    pace = DownloadPace()
    played(pace, 100e3, 5)
    assert pace.piece_bytes == 8 * KB  # which take 0.66 s there


def test_cap_holds_on_the_average() -> None:
    pace = DownloadPace(rate_bps=2e6)
    taken_s = played(pace, 100e6, 200)
    sent = DownloadPace(rate_bps=2e6)
    total, now_s = 0, 0.0
    for _ in range(200):
        now_s += sent.wait_s(now_s)
        size, asked_at = sent.piece_bytes, now_s
        now_s += 8 * size / 100e6
        sent.came(size, asked_at, now_s)
        total += size
    assert 8 * total / taken_s == pytest.approx(2e6, rel=0.02)


def test_short_end_of_a_file_does_not_shrink_pieces() -> None:
    pace = DownloadPace()
    before = pace.piece_bytes
    pace.came(100, 0.0, 0.001)
    assert pace.piece_bytes == before
