"""Devices and radios: what is shipped, what one writes oneself, and how they scale a profile."""

from pathlib import Path

import pytest

from partitioner.devices.device import (
    Device,
    device_names,
    load_device,
    load_radio,
    radio_names,
)
from partitioner.devices.radio import Radio
from protos.errors import FileError, UnknownNameError
from tests.kit.plans import BOARD


def test_power_grows_with_the_cores_at_work() -> None:
    pi = load_device("raspberry-pi-4")
    # 3.06 W idle, 6.12 W with four threads: a quarter of the 3.06 W between for each.
    assert pi.with_threads(1).compute_w == pytest.approx(3.825)
    assert pi.with_threads(4).compute_w == pi.with_threads(8).compute_w == pytest.approx(6.12)
    assert BOARD.with_threads(2).compute_w == BOARD.compute_w


def test_rate_is_that_of_the_threads_or_of_the_gpu() -> None:
    pi = load_device("raspberry-pi-4")
    assert pi.rate == pi.throughput[0]
    assert pi.with_threads(4).rate == pi.throughput[1]
    assert pi.with_threads(3).rate is None
    jetson = load_device("jetson-orin-nano").with_threads(4)
    assert jetson.rate == jetson.throughput[0]
    assert jetson.compute_w == 15.0
    assert BOARD.rate is None


def numbers_of(thing: Device | Radio) -> set[str]:
    top = {name for name, value in thing if isinstance(value, float)}
    thermal = thing.thermal if isinstance(thing, Device) else None
    rates = {"throughput"} if isinstance(thing, Device) and thing.throughput else set()
    return top | rates | ({f"thermal.{name}" for name, _ in thermal} if thermal else set())


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
    assert (device.name, device.throughput, device.thermal, device.radio) == (
        "mine",
        (),
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
            'title = "x"\nidle_w = 1.0\ncompute_w = 3.0\n[[throughput]]\ndense_gflops = 1e-300\n'
            "depthwise_gflops = 1.0\nmemory_gb_s = 1.0\n",
            "dense_gflops: .*greater than .*Start from one that is known",
        ),
        (
            'title = "x"\nidle_w = 1.0\ncompute_w = 3.0\ngflops = 5.0\n',
            "gflops knows no kinds of operators. Say .*throughput",
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
