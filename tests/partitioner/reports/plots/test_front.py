"""The picture of a Pareto front, and of a plan whose choice is not the fastest."""

from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from partitioner.network.link import Link
from partitioner.planning.objective import Objective
from partitioner.planning.plan import plan
from partitioner.planning.selection import Selection, select
from partitioner.planning.terms import Terms
from partitioner.reports.plans.costs import metric_units
from partitioner.reports.plots.front import draw_front, draw_points
from partitioner.reports.plots.plan import draw_plan
from protos.errors import UsageError
from tests.kit.plans import BOARD, RADIO, example
from tests.kit.profiles import codec, make


def drawn(decision: Selection, metrics: tuple[str, ...]) -> Axes:
    figure = Figure(figsize=(7.5, 5.2), dpi=140, layout="constrained")
    axes = figure.subplots()
    draw_points(axes, decision, metrics)
    figure.draw_without_rendering()
    return axes


def overlaps(texts: list[Text]) -> list[tuple[str, str]]:
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    return [(a, b) for (a, one), (b, other) in combinations(boxes, 2) if one.overlaps(other)]


@pytest.mark.parametrize("metrics", [("latency", "energy"), ("latency", "bytes")])
def test_no_text_lies_on_another_and_no_legend_on_a_point(metrics: tuple[str, ...]) -> None:
    near = {
        f"cut-{at:02d}": (0.1 + 0.004 * at, 0.001, {"raw": codec(9e6 / 1.5**at)})
        for at in range(30)
    }
    table = {"cloud": (0.0, 0.01, {"raw": codec(1e8)}), **near, "edge": (9.0, 0.0, {})}
    bundle, profile = make(table)
    made = plan(bundle, Link(1e9, 1e9, 0.005), profile, profile)
    axes = drawn(select(made, Terms(device=BOARD, radio=RADIO)), metrics)
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
        assert len(ticks) >= 2
        assert overlaps([tick.label1 for tick in ticks]) == []
        assert [label for label in axis.get_minorticklabels() if label.get_text()] == []
    assert overlaps(list(axes.texts)) == []
    legend = axes.get_legend()
    assert legend is not None
    assert not legend.get_window_extent().overlaps(axes.get_window_extent())


def test_units_of_the_front_are_those_of_the_other_tables() -> None:
    decision = select(example(), Terms(device=BOARD, radio=RADIO))
    axes = drawn(decision, ("latency", "energy"))
    assert axes.get_xlabel() == "latency (ms)"
    units = metric_units(decision.feasible, ("latency", "throughput", "bytes"))
    assert [unit.name for unit in units.values()] == ["ms", "ms/frame", "kB/frame"]


@pytest.mark.slow
def test_pictures_show_the_choice(tmp_path: Path) -> None:
    decision = select(example(), Terms(device=BOARD, radio=RADIO), Objective.parse("energy"))
    draw_front(decision, ("latency", "energy"), tmp_path / "front.png")
    draw_front(decision, ("latency", "energy", "bytes"), tmp_path / "three.svg")
    draw_plan(decision.plan, tmp_path / "plan.svg", decision.best.option)
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "three.svg").read_text()
    with pytest.raises(UsageError, match="cannot be written"):
        draw_front(decision, ("latency", "energy"), tmp_path / "nowhere" / "front.png")
