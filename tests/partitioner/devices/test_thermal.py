"""Heat, by hand: when a device slows down, and how far."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from partitioner.devices.device import Device
from partitioner.devices.energy import compute_power_w
from partitioner.devices.thermal import Thermal, sustain
from protos.errors import UsageError
from tests.kit.plans import BOARD


def test_light_load_never_throttles() -> None:
    # 10 frames of 40 ms a second: 2 + 0.4 * 4 = 3.6 W, 56 °C.
    lasting = sustain(BOARD, 0.040, 10)
    assert (lasting.slowdown, lasting.throttles_after_s) == (1.0, math.inf)
    assert lasting.temperature_c == pytest.approx(56.0)


def test_sustained_slowdown_by_hand() -> None:
    # 60 °C allow 4 W, that is 2 W over idle. 10 frames of 62.5 ms load it by 0.625: 2.5 W over idle.
    # Slower by s, the mean power is 4 s² * 0.625 / s = 2.5 s: s = 0.8, and it computes 78 % of the time.
    lasting = sustain(BOARD, 0.0625, 10)
    assert lasting.speed == pytest.approx(0.8)
    assert lasting.slowdown == pytest.approx(1.25)
    # From 40 °C at idle towards 20 + 10 * 4.5 = 65: 60 is reached when 25 / (25 - 20) = 5 = exp(t / 100).
    assert lasting.throttles_after_s == pytest.approx(100 * math.log(5))
    # Frames of 200 ms keep it busy all the time: 4 s² = 2, and it no longer keeps up with 10 a second.
    assert sustain(BOARD, 0.200, 10).speed == pytest.approx(math.sqrt(0.5))


powers = st.floats(0.1, 20)


@example(1.0, 1.9, 1.0, 1.0, 0.5)  # too hot by a rounding alone
@given(powers, powers, st.floats(1, 3), st.floats(0.001, 2), st.floats(0.1, 60))
def test_settled_speed_is_the_highest_that_stays_cool(
    idle_w: float, more_w: float, exponent: float, edge_s: float, fps: float
) -> None:
    thermal = Thermal(
        ambient_c=20, throttle_c=20 + 2 * (idle_w + more_w / 2), resistance_c_per_w=2,
        time_constant_s=50, power_exponent=exponent,
    )  # fmt: skip
    device = Device(title="d", idle_w=idle_w, compute_w=idle_w + more_w, thermal=thermal)

    def settles_at(speed: float) -> float:
        busy = min(1.0, fps * edge_s / speed)
        return 20 + 2 * (idle_w + busy * (compute_power_w(device, speed) - idle_w))

    speed = sustain(device, edge_s, fps).speed
    assert settles_at(speed) <= thermal.throttle_c + 1e-6
    faster = [speed + (1 - speed) * step / 50 for step in range(1, 51)]
    assert speed == 1 or all(settles_at(s) > thermal.throttle_c - 1e-6 for s in faster)


def test_impossible_thermal_questions_are_refused() -> None:
    with pytest.raises(UsageError, match="plain has no thermal model"):
        sustain(Device(name="plain", title="p", idle_w=1, compute_w=2), 0.1, 10)
    hot = BOARD.model_copy(update={"idle_w": 4.0})
    with pytest.raises(UsageError, match="when idle in air of 20 °C"):
        sustain(hot, 0.1, 10)
