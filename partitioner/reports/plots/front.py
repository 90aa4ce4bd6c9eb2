"""The picture of a Pareto front: every feasible option in two metrics, and those that none beats."""

from collections.abc import Sequence
from pathlib import Path

from partitioner.planning.metrics import METRICS
from partitioner.planning.selection import Selection
from partitioner.terminal.figure import figure_for

_GREY = "#b0b0b0"


def draw_front(decision: Selection, metrics: Sequence[str], path: Path) -> None:
    """Write a PNG of the feasible options in the first two metrics, with the Pareto front as steps.

    With more metrics, options that look beaten may be on the front for the sake of another one.
    Raises UsageError when matplotlib is missing or the file cannot be written.
    """
    with figure_for(path, 7.5, 5.2) as figure:
        axes = figure.subplots()
        x, y = metrics[:2]
        front = decision.front(metrics)
        points = [(c.costs.metric(x), c.costs.metric(y)) for c in decision.feasible]
        axes.scatter(
            *zip(*points, strict=True), color=_GREY, s=18, label="beaten by another option"
        )
        best = [(c.costs.metric(x), c.costs.metric(y)) for c in front]
        style = "-" if len(metrics) == 2 else ""
        axes.step(
            *zip(*best, strict=True),
            where="post",
            linestyle=style,
            marker="o",
            label="Pareto front",
        )
        for candidate, point in zip(front, best, strict=True):
            label = candidate.option.label
            axes.annotate(label, point, xytext=(5, 5), textcoords="offset points", fontsize=8)
        axes.set_xlabel(f"{x} ({METRICS[x].unit})")
        axes.set_ylabel(f"{y} ({METRICS[y].unit})")
        for axis, scale, values in (
            (axes.xaxis, axes.set_xscale, [point[0] for point in points]),
            (axes.yaxis, axes.set_yscale, [point[1] for point in points]),
        ):
            if min(values) > 0:  # raw frontiers take ten times what the best options do
                scale("log")
                axis.set_major_formatter("{x:g}")
                axis.set_minor_formatter("{x:g}")
        axes.tick_params(which="minor", labelsize=7)
        axes.set_title(f"{decision.plan.bundle.name} on {decision.plan.link}")
        axes.margins(0.12)
        axes.grid(alpha=0.2)
        axes.legend(fontsize=8)
