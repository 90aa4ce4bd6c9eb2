"""The picture of a Pareto front: every feasible option in two metrics, and those that none beats."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from partitioner.common.units import ColumnUnit
from partitioner.planning.constraints import Candidate
from partitioner.planning.selection import Selection
from partitioner.reports.plans.costs import metric_units
from partitioner.reports.plots.ticks import scale_axis
from partitioner.terminal.figure import figure_for

_GREY = "#b0b0b0"
_TEXT = (0.15, 0.04)
"""A label takes about these shares of the axes' width and height."""


def draw_front(decision: Selection, metrics: Sequence[str], path: Path) -> None:
    """Write a PNG of the feasible options in the first two metrics, with the Pareto front as steps.

    With more metrics, options that look beaten may be on the front for the sake of another one.
    Raises UsageError when matplotlib is missing or the file cannot be written.
    """
    with figure_for(path, 7.5, 5.2) as figure:
        draw_points(figure.subplots(), decision, metrics)
        figure.suptitle(f"{decision.plan.bundle.name} on {decision.plan.link}")


def draw_points(axes: Any, decision: Selection, metrics: Sequence[str]) -> None:
    """Draw the options, and the front with its labels, in units that the values suit."""
    units = metric_units(decision.feasible, metrics[:2])
    front = decision.front(metrics)
    points = [_place(candidate, units) for candidate in decision.feasible]
    best = [_place(candidate, units) for candidate in front]
    axes.scatter(*zip(*points, strict=True), color=_GREY, s=18, label="beaten by another option")
    style = "-" if len(metrics) == 2 else ""
    axes.step(*zip(*best, strict=True), where="post", linestyle=style, marker="o",
              label="Pareto front")  # fmt: skip
    for name, (metric, unit), values in zip(
        "xy", units.items(), zip(*points, strict=True), strict=True
    ):
        # Raw frontiers take ten times what the best options do.
        scale_axis(axes, name, values)
        getattr(axes, f"set_{name}label")(f"{metric} ({unit.name})")
    axes.margins(0.12)
    _name_points(axes, [candidate.option.label for candidate in front], best)
    axes.grid(alpha=0.2)
    # Above the axes, where no point is.
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize=8, ncols=2, frameon=False)


def _name_points(axes: Any, labels: Sequence[str], points: Sequence[tuple[float, ...]]) -> None:
    """Write the labels beside their points, except where one would lie on another; the ends go first."""
    named: list[tuple[float, float]] = []
    ends = (0, len(points) - 1)
    for at in sorted(range(len(points)), key=lambda at: at not in ends):
        x, y = axes.transAxes.inverted().transform(axes.transData.transform(points[at]))
        if any(abs(x - other[0]) < _TEXT[0] and abs(y - other[1]) < _TEXT[1] for other in named):
            continue
        named.append((x, y))
        axes.annotate(labels[at], points[at], xytext=(5, 5), textcoords="offset points", fontsize=8)


def _place(candidate: Candidate, units: Mapping[str, ColumnUnit]) -> tuple[float, ...]:
    return tuple(candidate.costs.metric(name) / unit.factor for name, unit in units.items())
