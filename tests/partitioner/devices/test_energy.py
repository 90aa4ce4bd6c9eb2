"""What a frame costs in joules, by hand."""

import pytest

from partitioner.devices.energy import frame_energy
from tests.kit.plans import BOARD, RADIO


def test_energy_by_hand() -> None:
    spent = frame_energy(
        BOARD, RADIO, edge_s=0.050, network_s=0.100, cloud_s=0.020,
        upload_bytes=125_000, download_bytes=1_250,
    )  # fmt: skip
    # 50 ms at 6 W.
    assert spent.compute_j == pytest.approx(0.300)
    # 1 Mbit up at 0.5 J and 0.01 Mbit down at 0.1 J; 100 ms awake at 1 W; then
    # the whole tail, 300 ms at 0.8 W, as no frame follows.
    assert spent.radio_j == pytest.approx(0.500 + 0.001 + 0.100 + 0.240)
    # 120 ms of waiting at 2 W.
    assert spent.idle_j == pytest.approx(0.240)
    assert spent.total_j == pytest.approx(1.381)


def test_radio_stays_awake_between_frames_for_its_tail() -> None:
    def radio_j(fps: float | None) -> float:
        return frame_energy(
            BOARD, RADIO, edge_s=0.0, network_s=0.1, cloud_s=0.0,
            upload_bytes=1, download_bytes=0, fps=fps,
        ).radio_j  # fmt: skip

    busy = radio_j(20)
    # 5 frames a second leave 200 - 100 ms without traffic, 1 a second 900 ms, of which the tail is 300.
    assert radio_j(5) == pytest.approx(busy + 0.8 * 0.1)
    assert radio_j(1) == pytest.approx(busy + 0.8 * 0.3)
    # A frame that comes alone is a frame that comes rarely.
    assert radio_j(None) == pytest.approx(radio_j(0.01)) == radio_j(1)


def test_radio_sleeps_when_nothing_crosses() -> None:
    spent = frame_energy(
        BOARD, RADIO, edge_s=0.1, network_s=0.0, cloud_s=0.0,
        upload_bytes=0, download_bytes=0, fps=1,
    )  # fmt: skip
    assert spent.radio_j == 0
    assert spent.total_j == pytest.approx(0.6)
