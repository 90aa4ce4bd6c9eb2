"""Devices and radios: what is shipped, what one writes oneself, and how they scale a profile."""

from pathlib import Path

import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.devices.device import (
    Device,
    device_names,
    load_device,
    load_radio,
    radio_names,
    scaled_to,
)
from partitioner.devices.radio import Radio
from partitioner.profiles.profile import Profile
from protos.errors import FileError, ProfileError, UnknownNameError, UsageError
from tests.kit.plans import BOARD
from tests.kit.profiles import MACHINE, make


def test_device_scales_the_profile_by_its_rate() -> None:
    _, profile = make({"cloud": (0.0, 0.1, {}), "edge": (0.1, 0.0, {})})
    # 2 GFLOP in 100 ms are 20 GFLOP/s here; a device of 5 takes four times as long.
    device = Device(name="slow", title="s", idle_w=1, compute_w=2, gflops=5.0)
    assert scaled_to(device, profile, 2_000_000_000).scale == pytest.approx(4)
    assert scaled_to(BOARD, profile, 2_000_000_000) == profile
    with pytest.raises(UsageError, match="cannot be scaled to slow. Give `edge_scale`"):
        scaled_to(device, profile, 0)


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
        (
            'title = "x"\nidle_w = 1.0\n',
            "compute_w: it is missing. Start from one that is known: splitpoint devices rasp",
        ),
        ('title = "x"\nidle_w = 4.0\ncompute_w = 3.0\n', "cannot be below idle_w"),
        ('title = "x"\nidle_w = -1.0\ncompute_w = 3.0\n', "idle_w: .*greater than or equal to 0"),
        ('title = "x"\nidle_w = 1.0\ncompute_w = nan\n', "compute_w: .*finite"),
        ('title = "x"\nidle_w = 1.0\ncompute_w = 1e300\n', "compute_w: .*less than"),
        (
            'title = "x"\nidle_w = 1.0\ncompute_w = 3.0\ngflops = 1e-300\n',
            "gflops: .*greater than .*Start from one that is known",
        ),
        (
            'title = "x"\nidle_w = 1.0\ncompute_w = 3.0\nwatts = 2\n',
            "watts: there is no such field",
        ),
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
