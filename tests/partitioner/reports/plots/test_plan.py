"""What a plan's picture shows, by matplotlib's artists."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from partitioner.network.link import Link
from partitioner.planning.plan import Plan, plan
from partitioner.reports.plots.plan import (
    draw_bars,
    draw_lines,
    draw_plan,
    named_curves,
    scaled_text,
)
from protos.errors import UsageError
from tests.kit.profiles import EXAMPLE, codec, make


def axes() -> Axes:
    return Figure().subplots()


def small() -> Plan:
    bundle, profile = make(EXAMPLE)
    return plan(bundle, Link(4e6, 4e6, 0.005), profile, profile.scaled(0.1))


def large(cuts: int = 40) -> Plan:
    """Forty cuts, of which each is the best on some uplink: half the bytes for 20 ms more."""
    table = {
        "cloud": (0.0, 0.01, {"raw": codec(1e9)}),
        **{f"cut-{at:02d}": (0.02 * at, 0.0, {"raw": codec(1e8 / 2**at)}) for at in range(1, cuts)},
        "edge": (5.0, 0.0, {}),
    }
    bundle, profile = make(table)
    return plan(bundle, Link(5e6, 5e6, 0.005), profile, profile)


def texts(where: Axes) -> list[str]:
    return [text.get_text() for text in where.texts]


def legend(where: Axes) -> list[str]:
    found = where.get_legend()
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


@pytest.mark.slow
def test_plan_is_drawn(tmp_path: Path) -> None:
    bundle, profile = make(EXAMPLE)
    made = plan(bundle, Link(1e6, 1e6, 0.01), profile, profile.scaled(0.1))
    draw_plan(made, tmp_path / "plan.png")
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match="cannot be written"):
        draw_plan(made, tmp_path / "nowhere" / "plan.png")


def test_link_that_was_asked_about_is_marked_with_its_value() -> None:
    where = axes()
    draw_lines(where, small())
    # JPEG: 4 + 5 + 40 + 2 + 10.2 ms.
    assert "this link: 4.00 Mbit/s\ncloud/jpeg-75, 61.2 ms" in texts(where)
    upright = [line.get_xdata() for line in where.lines if len(set(line.get_xdata())) == 1]
    assert any(list(np.asarray(xs)) == pytest.approx([4.0] * len(xs)) for xs in upright)


def test_end_that_never_wins_is_in_the_picture_and_the_legend_beside_it() -> None:
    figure = Figure(figsize=(6, 4.6), layout="constrained")
    where = figure.subplots()
    bundle, profile = make({**EXAMPLE, "edge": (0.0005, 0.0, {})})
    draw_lines(where, plan(bundle, Link(4e6, 4e6, 0.005), profile, profile), "middle of the sweep")
    figure.draw_without_rendering()
    top = where.get_ylim()[1]
    named = [line for line in where.lines if line.get_label() in legend(where)]
    assert len(named) >= 3
    assert [line.get_label() for line in named if min(np.asarray(line.get_ydata())) > top] == []
    found = where.get_legend()
    assert found is not None
    assert not found.get_window_extent().overlaps(where.get_window_extent())
    assert any(text.startswith("middle of the sweep: 4.00 Mbit/s") for text in texts(where))


def test_bars_carry_their_totals_and_the_best_is_bold() -> None:
    where, made = axes(), small()
    draw_bars(where, made, made.best)
    fastest = {"cloud/jpeg-75": "61.2", "cut-01/raw": "65.1", "edge": "100.0"}
    assert [label.get_text() for label in where.get_yticklabels()] == list(fastest)
    assert texts(where) == ["61.2 best", "65.1", "100.0"]
    assert [text.get_fontweight() for text in where.texts] == ["bold", "normal", "normal"]
    assert where.get_yticklabels()[0].get_fontweight() == "bold"


def test_five_curves_are_named_and_the_others_are_pale() -> None:
    where, made = axes(), large()
    draw_lines(where, made)
    assert len(made.switches()) > 10
    named = [label for label in legend(where) if label != "the plan's choice"]
    assert len(named) == 5
    assert named[0] == made.best.label
    pale = [line for line in where.lines if line.get_color() == "#dcdcdc"]
    assert len(pale) == 41 - 5


def test_ends_are_named_though_they_win_nowhere() -> None:
    bundle, profile = make({**EXAMPLE, "edge": (9.0, 0.0, {})})
    made = plan(bundle, Link(4e6, 4e6, 0.005), profile, profile.scaled(0.1))
    assert "edge" in named_curves(made, np.geomspace(4e6, 400e6, 50))


def test_many_cuts_leave_the_slowest_bars_out_and_say_how_many() -> None:
    where, made = axes(), large()
    draw_bars(where, made, made.best)
    labels = [label.get_text() for label in where.get_yticklabels()]
    assert len(labels) == 20
    assert {"cloud/raw", "edge", made.best.label} <= set(labels)
    assert where.get_xlabel() == "latency (ms); 21 slower cuts left out"


def test_what_was_scaled_is_said_to_be() -> None:
    bundle, profile = make(EXAMPLE)
    link = Link(4e6, 4e6, 0.005)
    cloud = profile.model_copy(update={"measured_at": "2026-01-02T00:00:00+00:00"})
    assert scaled_text(plan(bundle, link, profile, cloud)) == ""
    assert scaled_text(plan(bundle, link, profile.scaled(6), cloud)) == (
        "scaled, not measured: the edge (x 6)"
    )
    assert "the cloud (the edge as it was measured x 0.1)" in scaled_text(small())
