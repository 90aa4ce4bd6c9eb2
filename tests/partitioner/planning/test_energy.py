"""What devices draw: the data that we ship, and joules and degrees by hand."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partitioner.bundle.bundle import Bundle
from partitioner.planning.devices import (
    Device,
    device_names,
    load_device,
    load_radio,
    radio_names,
    scaled_to,
)
from partitioner.planning.energy import compute_power_w, frame_energy
from partitioner.planning.radio import Radio
from partitioner.planning.thermal import Thermal, sustain
from partitioner.profiles.profile import Profile
from protos.errors import FileError, ProfileError, UnknownNameError, UsageError
from tests.kit.profiles import MACHINE

DEVICE = Device(
    name="board", title="b", idle_w=2.0, compute_w=6.0,
    thermal=Thermal(ambient_c=20.0, throttle_c=60.0, resistance_c_per_w=10.0,
                    time_constant_s=100.0, power_exponent=2.0),
)  # fmt: skip
RADIO = Radio(
    name="radio", title="r", upload_w_per_mbps=0.5, download_w_per_mbps=0.1, active_w=1.0,
    tail_w=0.8, tail_s=0.3,
)  # fmt: skip


def numbers_of(thing: Device | Radio) -> set[str]:
    top = {name for name, value in thing if isinstance(value, float)}
    thermal = thing.thermal if isinstance(thing, Device) else None
    return top | ({f"thermal.{name}" for name, _ in thermal} if thermal else set())


def test_every_number_that_we_ship_says_where_it_comes_from() -> None:
    assert device_names() == [
        "jetson-orin-nano", "laptop", "phone", "raspberry-pi-4", "raspberry-pi-5",
    ]  # fmt: skip
    assert radio_names() == ["5g", "lte", "wifi"]
    shipped = [*map(load_device, device_names()), *map(load_radio, radio_names())]
    for thing in shipped:
        sourced = [field for source in thing.sources for field in source.fields]
        assert sorted(sourced) == sorted(numbers_of(thing)), thing.name
        assert all(len(source.text) > 40 for source in thing.sources)
    for name in device_names():
        assert load_device(name).radio in radio_names()


def test_energy_by_hand() -> None:
    spent = frame_energy(
        DEVICE, RADIO, edge_s=0.050, network_s=0.100, cloud_s=0.020,
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
            DEVICE, RADIO, edge_s=0.0, network_s=0.1, cloud_s=0.0,
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
        DEVICE, RADIO, edge_s=0.1, network_s=0.0, cloud_s=0.0,
        upload_bytes=0, download_bytes=0, fps=1,
    )  # fmt: skip
    assert spent.radio_j == 0
    assert spent.total_j == pytest.approx(0.6)


def test_device_of_ones_own(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('title = "mine"\nidle_w = 1.0\ncompute_w = 3.0\n')
    device = load_device(str(mine))
    assert (device.name, device.gflops, device.thermal, device.radio) == (
        "mine",
        None,
        None,
        "wifi",
    )


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("title = ", "is not TOML"),
        ('title = "x"\nidle_w = 1.0\n', "compute_w: Field required"),
        ('title = "x"\nidle_w = 4.0\ncompute_w = 3.0\n', "cannot be below idle_w"),
        ('title = "x"\nidle_w = -1.0\ncompute_w = 3.0\n', "idle_w: .*greater than or equal to 0"),
        ('title = "x"\nidle_w = 1.0\ncompute_w = nan\n', "compute_w: .*finite"),
        ('title = "x"\nidle_w = 1.0\ncompute_w = 1e300\n', "compute_w: .*less than"),
        (
            'title = "x"\nidle_w = 1.0\ncompute_w = 3.0\ngflops = 1e-300\n',
            "gflops: .*greater than .*See those that come with Splitpoint",
        ),
        ('title = "x"\nidle_w = 1.0\ncompute_w = 3.0\nwatts = 2\n', "watts: Extra"),
    ],
)
def test_bad_device_file_is_refused(text: str, match: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(text)
    with pytest.raises(FileError, match=match):
        load_device(str(mine))


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no radio 'smoke'. Use one of 5g, lte, wifi, or"):
        load_radio("smoke")
    with pytest.raises(UnknownNameError, match="phone, raspberry-pi-4"):
        load_device("../devices/phone")
    with pytest.raises(FileError, match="No such file"):
        load_device(str(tmp_path / "none.toml"))


def test_profile_without_the_whole_model_cannot_be_scaled(residual_bundle: Bundle) -> None:
    profile = Profile(
        splitpoint="0", bundle="x", bundle_digest="x", machine=MACHINE,
        measured_at="2026-01-01T00:00:00+00:00", inputs="given", cuts={},
    )  # fmt: skip
    with pytest.raises(ProfileError, match="lacks the cut edge"):
        scaled_to(load_device("phone"), profile, residual_bundle.manifest.flops)


def test_light_load_never_throttles() -> None:
    # 10 frames of 40 ms a second: 2 + 0.4 * 4 = 3.6 W, 56 °C.
    lasting = sustain(DEVICE, 0.040, 10)
    assert (lasting.slowdown, lasting.throttles_after_s) == (1.0, math.inf)
    assert lasting.temperature_c == pytest.approx(56.0)


def test_sustained_slowdown_by_hand() -> None:
    # 60 °C allow 4 W, that is 2 W over idle. 10 frames of 62.5 ms load it by 0.625: 2.5 W over idle.
    # Slower by s, the mean power is 4 s² * 0.625 / s = 2.5 s: s = 0.8, and it computes 78 % of the time.
    lasting = sustain(DEVICE, 0.0625, 10)
    assert lasting.speed == pytest.approx(0.8)
    assert lasting.slowdown == pytest.approx(1.25)
    # From 40 °C at idle towards 20 + 10 * 4.5 = 65: 60 is reached when 25 / (25 - 20) = 5 = exp(t / 100).
    assert lasting.throttles_after_s == pytest.approx(100 * math.log(5))
    # Frames of 200 ms keep it busy all the time: 4 s² = 2, and it no longer keeps up with 10 a second.
    assert sustain(DEVICE, 0.200, 10).speed == pytest.approx(math.sqrt(0.5))


powers = st.floats(0.1, 20)


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
    hot = DEVICE.model_copy(update={"idle_w": 4.0})
    with pytest.raises(UsageError, match="when idle in air of 20 °C"):
        sustain(hot, 0.1, 10)
