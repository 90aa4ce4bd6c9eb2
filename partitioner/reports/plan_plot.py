"""Pictures of a plan: where each cut spends its time, and which option wins at which bandwidth."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from partitioner.common.units import format_rate
from partitioner.network.link import Link
from partitioner.planning.metrics import METRICS
from partitioner.planning.option import Option
from partitioner.planning.plan import Plan
from partitioner.planning.selection import Selection
from partitioner.terminal.figure import figure_for

_PARTS = (("edge", "#4c72b0"), ("network", "#dd8452"), ("cloud", "#55a868"))
_GREY = "#b0b0b0"
_SPAN = 100.0
"""The bandwidth axis reaches this factor below and above the given uplink, and past every switch."""


def draw_plan(plan: Plan, path: Path, best: Option | None = None) -> None:
    """Write a PNG (or what the suffix says): stacked bars per cut, and latency against uplink.

    Raises UsageError when matplotlib is missing or the file cannot be written.
    """
    with figure_for(path, 12, 5.2) as figure:
        bars, lines = figure.subplots(1, 2)
        draw_bars(bars, plan, best or plan.best)
        draw_lines(lines, plan)
        figure.suptitle(f"{plan.bundle.name} on {plan.link}")


def draw_front(decision: Selection, metrics: Sequence[str], path: Path) -> None:
    """Write a PNG of the feasible options in the first two metrics, with the Pareto front as steps.

    With more metrics, options that look beaten may be on the front for the sake of another one.
    Raises UsageError as `draw_plan` does.
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


def draw_bars(axes: Any, plan: Plan, chosen: Option) -> None:
    """Draw where each cut spends its time, with the codec that is fastest there."""
    fastest = [min(options, key=lambda o: o.total_s) for options in _by_cut(plan).values()]
    options = [o for o in plan.options if o in fastest or o == chosen]
    labels = [option.label for option in options]
    left = np.zeros(len(labels))
    for part, colour in _PARTS:
        widths = np.array([1e3 * getattr(option, f"{part}_s") for option in options])
        axes.barh(labels, widths, left=left, color=colour, label=part)
        left += widths
    axes.invert_yaxis()
    axes.set_xlabel("latency (ms)")
    axes.legend(loc="lower right")
    best = options.index(chosen)
    axes.text(left[best], best, " best", va="center", fontweight="bold")
    # One option that is far slower than the rest must not squeeze them into a line.
    axes.set_xlim(0, min(left.max() * 1.3, 6 * float(np.median(left))))


def draw_lines(axes: Any, plan: Plan) -> None:
    """Draw latency against the uplink, the envelope, and where the best option changes.

    Cuts that are never the best are grey, each with the codec that is fastest at that uplink.
    """
    uplinks = _uplinks(plan)
    totals = _latencies_ms(plan, uplinks)
    switches = plan.switches()
    winners = dict.fromkeys(
        [o.label for s in switches for o in (s.below, s.above)] or [plan.best.label]
    )
    for options in _by_cut(plan).values():
        if not any(option.label in winners for option in options):
            fastest = np.min([totals[option.label] for option in options], axis=0)
            axes.plot(uplinks / 1e6, fastest, color=_GREY, linewidth=0.8, zorder=1)
    for label in winners:
        axes.plot(uplinks / 1e6, totals[label], linewidth=1.6, label=label, zorder=2)
    envelope = np.min(list(totals.values()), axis=0)
    axes.plot(
        uplinks / 1e6, envelope, color="black", linewidth=3, alpha=0.35, label="the plan's choice"
    )
    for switch in switches:
        axes.axvline(switch.uplink_bps / 1e6, color=_GREY, linestyle=":", linewidth=1)
        text = format_rate(switch.uplink_bps)
        axes.annotate(text, (switch.uplink_bps / 1e6, 0.02), xycoords=("data", "axes fraction"),
                      rotation=90, fontsize=8, ha="right")  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(envelope.min() * 0.7, envelope.max() * 8)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.tick_params(axis="y", which="minor", labelsize=7)
    axes.set_xlabel("uplink (Mbit/s)")
    axes.set_ylabel("latency (ms)")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.2)


def _by_cut(plan: Plan) -> dict[str, list[Option]]:
    cuts: dict[str, list[Option]] = {}
    for option in plan.options:
        cuts.setdefault(option.cut, []).append(option)
    return cuts


def _latencies_ms(plan: Plan, uplinks: Any) -> dict[str, list[float]]:
    """Return every option's latency at each of the uplinks, by its label."""
    totals: dict[str, list[float]] = {option.label: [] for option in plan.options}
    for uplink in uplinks:
        moved = plan.at(Link(uplink, plan.link.downlink_bps, plan.link.rtt_s))
        for option in moved.options:
            totals[option.label].append(1e3 * option.total_s)
    return totals


def _uplinks(plan: Plan) -> Any:
    points = [plan.link.uplink_bps / _SPAN, plan.link.uplink_bps * _SPAN]
    points += [
        s.uplink_bps * f for s in plan.switches() if np.isfinite(s.uplink_bps) for f in (0.5, 2)
    ]
    return np.geomspace(min(points), max(points), 200)
