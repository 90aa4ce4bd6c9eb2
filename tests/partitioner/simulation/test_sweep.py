"""Sweeps: every point is what the plan says there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partitioner.common.units import parse_duration, parse_rate
from partitioner.network.link import Link
from partitioner.planning.plan import plan
from partitioner.simulation.sweep import Grid, parse_axis, parse_grid, sweep
from protos.errors import UsageError
from tests.kit.profiles import EXAMPLE, make

GRID = Grid(
    edge_scales=(0.5, 1.0, 8.0),
    cloud_loads=(1.0, 4.0),
    rtts_s=(0.0, 0.03),
    uplinks_bps=tuple(np.geomspace(1e5, 1e9, 15).tolist()),
)


@pytest.mark.parametrize("downlink_bps", [None, 3e6])
def test_every_point_equals_the_plan_there(downlink_bps: float | None) -> None:
    bundle, profile = make(EXAMPLE)
    grid = Grid(GRID.edge_scales, GRID.cloud_loads, GRID.rtts_s, GRID.uplinks_bps, downlink_bps)
    swept = sweep(plan(bundle, Link(1e6, 1e6, 0), profile, profile), grid)
    found = zip(grid.points(), swept.choices.ravel(), swept.totals_s.ravel(), strict=True)
    labels = set()
    for (scale, load, rtt_s, uplink), place, total_s in found:
        link = Link(uplink, downlink_bps or uplink, rtt_s)
        wanted = plan(bundle, link, profile.scaled(scale), profile.scaled(load)).best
        assert swept.labels[place] == wanted.label
        assert total_s == pytest.approx(wanted.total_s)
        labels.add(wanted.label)
    assert len(labels) == 4  # each option is the best somewhere


def test_standings_say_what_a_fixed_choice_costs() -> None:
    bundle, profile = make(EXAMPLE)
    # At 8 Mbit/s down and up, no RTT, equal machines: edge 100 ms; cloud/jpeg 4 + 20 + 1 + 102 = 127;
    # at 0.8 Mbit/s: edge 100, jpeg 4 + 200 + 10 + 102 = 316. cut-01 takes 31 + 10 + 1 + 71 = 113, and
    # 31 + 110 + 71 = 212.
    swept = sweep(
        plan(bundle, Link(1e6, 1e6, 0), profile, profile),
        Grid((1.0,), (1.0,), (0.0,), (0.8e6, 8e6)),
    )
    by_label = {one.label: one for one in swept.standings}
    assert by_label["edge"].share == 1
    assert by_label["edge"].uplinks_bps == (0.8e6, 8e6)
    assert by_label["cut-01/raw"].worst_ratio == pytest.approx(2.12)
    assert by_label["cut-01/raw"].mean_ratio == pytest.approx((2.12 * 1.13) ** 0.5)
    assert by_label["cloud/jpeg-75"].worst_ratio == pytest.approx(3.16)
    assert by_label["cloud/jpeg-75"].uplinks_bps is None


@given(st.floats(0.01, 100), st.floats(1.01, 1000), st.integers(2, 40))
@settings(max_examples=50)
def test_range_has_equal_ratios(first: float, factor: float, steps: int) -> None:
    values = parse_axis(f"{first}ms:{first * factor}ms:{steps}", parse_duration, "--rtt")
    assert len(values) == steps
    assert values[0] == pytest.approx(first / 1e3)
    assert values[-1] == pytest.approx(first * factor / 1e3)
    ratios = np.array(values[1:]) / np.array(values[:-1])
    assert ratios == pytest.approx(np.full(steps - 1, ratios[0]))


def test_lists_and_single_values_are_read() -> None:
    assert parse_axis("1mbit,8mbit", parse_rate, "--bandwidth") == (1e6, 8e6)
    grid = parse_grid("1mbit", "0s", "1:4:3", "2", "5mbit")
    assert grid.cloud_loads == pytest.approx((1.0, 2.0, 4.0))
    assert grid == Grid((2.0,), grid.cloud_loads, (0.0,), (1e6,), 5e6)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("1mbit:2mbit", "0s", "1", "1"), "FROM:TO:STEPS"),
        (("1mbit:2mbit:1", "0s", "1", "1"), "2 to 1000000 steps"),
        (("0mbit:2mbit:3", "0s", "1", "1"), "above 0"),
        (("1mbit:2mbit:99999999999999", "0s", "1", "1"), "no range"),
        (("1mbit:2mbit:9999999", "0s", "1", "1"), "no range"),
        (("1mbit:2mbit:²", "0s", "1", "1"), "no range"),
        (("1mbit", "0s:1s:3", "1", "1"), "equal ratios"),
        (("1mbit", "5ms:0ms:10", "1", "1"), "equal ratios"),
        (("1mbit", "1s", "0", "1"), "'0' is no factor"),
        (("1mbit", "1s", "1", "x"), "'x' is no factor"),
        (("1mbit:9mbit:1000", "1s:2s:1001", "1", "1"), "too large"),
    ],
)
def test_senseless_ranges_are_refused(words: tuple[str, str, str, str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        parse_grid(*words, None)
