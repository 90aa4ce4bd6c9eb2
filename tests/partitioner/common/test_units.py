"""Quantities as people write them, and as people read them."""

import pytest

from partitioner.common.units import (
    DURATIONS,
    ENERGIES,
    SIZES,
    ColumnUnit,
    compare,
    format_duration,
    format_rate,
    format_size,
    parse_duration,
    parse_rate,
    parse_shape,
    parse_size,
    plural,
)
from protos.errors import UsageError


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.009994, "9.99 ms"), (0.009996, "10.0 ms"), (0.09994, "99.9 ms"), (0.09996, "100 ms")],
)
def test_number_has_the_digits_of_what_it_rounds_to(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "bps"),
    [
        ("10mbit", 10e6),
        ("1.5Mbit/s", 1.5e6),
        ("800kbps", 800e3),
        ("1Gbps", 1e9),
        ("2MB/s", 16e6),
        ("10Mb/s", 10e6),
        ("800kb/s", 800e3),
        ("125kB/s", 1e6),
        (" 5 mbit ", 5e6),
        (".5mbit", 0.5e6),
    ],
)
def test_bandwidth_is_read_in_bits(text: str, bps: float) -> None:
    assert parse_rate(text) == pytest.approx(bps)


@pytest.mark.parametrize("text", ["10", "fast", "10MB", "0mbit", "-5mbit", "10 mbits/h", "1e3", ""])
def test_bandwidth_without_a_clear_unit_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="10mbit|above 0"):
        parse_rate(text)


def test_durations_sizes_and_shapes_are_read() -> None:
    assert parse_duration("20ms") == pytest.approx(0.02)
    assert parse_duration("300us") == pytest.approx(300e-6)
    assert parse_duration("0s") == 0
    assert parse_size("64MiB") == 64 * 2**20
    assert parse_shape("1x3x224x224") == (1, 3, 224, 224)
    assert parse_shape("1x0x8", least=0) == (1, 0, 8)


@pytest.mark.parametrize("text", ["20", "20 lightyears", "x"])
def test_duration_without_a_clear_unit_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="20ms"):
        parse_duration(text)


def test_quantities_that_nothing_has_are_refused() -> None:
    assert parse_rate("1000000gbit") == 1e15
    assert parse_duration("1e9s") == 1e9
    with pytest.raises(
        UsageError, match="'1e300mbit' is no bandwidth that anything has. Give less"
    ):
        parse_rate("1e300mbit")
    with pytest.raises(UsageError, match="'1e300s' is no duration that anything has. Give less"):
        parse_duration("1e300s")


@pytest.mark.parametrize("text", ["1x0x3", "1,3", "x3", "-1x3", ""])
def test_shape_with_a_senseless_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="1x3x224x224"):
        parse_shape(text)


def test_quantities_are_written_as_people_do() -> None:
    assert format_rate(1.5e6) == "1.50 Mbit/s"
    assert format_rate(98.1e6) == "98.1 Mbit/s"
    assert format_duration(0.0205) == "20.5 ms"
    assert format_size(0) == "0 B"
    assert format_size(73_900) == "73.9 kB"


def test_column_has_one_unit_in_which_the_middle_one_shows_three_digits() -> None:
    sizes = ColumnUnit.of([425, 1080, 15_700, 307_000, 0], SIZES)
    assert [sizes.write(size) for size in (0, 425, 307_000)] == ["0.00", "0.42", "307.00"]
    assert sizes.header("upload") == "upload\nkB"
    times = ColumnUnit.of([0.0475, 0.052, 0.8521], DURATIONS)
    assert [times.write(s) for s in (0.0003, 0.0475, 0.8521)] == ["0.3", "47.5", "852.1"]
    assert ColumnUnit.of([0, 12, 900], SIZES).write(12) == "12"
    assert ColumnUnit.of([], DURATIONS).name == "s"


def test_small_one_in_a_column_does_not_become_zero() -> None:
    joules = ColumnUnit.of([0.00178, 12.4, 12.6], ENERGIES)
    assert joules.header("energy") == "energy\nJ"
    assert [joules.write(one) for one in (0.00178, 12.4)] == ["0.0018", "12.4000"]
    smaller = ColumnUnit.of([0.00178, 1.24, 1.26], ENERGIES)
    assert [smaller.write(one) for one in (0.00178, 1.24)] == ["1.8", "1240.0"]


def test_one_is_not_several() -> None:
    assert plural(1, "frame") == "1 frame"
    assert plural(0, "frame") == "0 frames"
    assert plural(12_000, "frame") == "12,000 frames"
    assert plural(2, "match", "matches") == "2 matches"


def test_values_are_compared_in_words() -> None:
    assert compare(91, 100) == "9 % less than"
    assert compare(103, 100) == "3 % more than"
    assert compare(99.9, 100) == "hardly less than"
    assert compare(5, 5) == "as much as"
    assert compare(3000, 100) == "30 times more than"
    assert compare(1, 0) == "much more than"
