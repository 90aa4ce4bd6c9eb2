"""What a sweep comes to: a table of the options that win, and a picture."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from partitioner.common.units import format_duration, format_rate, plural
from partitioner.network.link import Link
from partitioner.planning.plan import Plan
from partitioner.reports.plots.plan import draw_bars, draw_lines
from partitioner.reports.plots.ticks import label_decades
from partitioner.simulation.sweep import Grid, Sweep
from partitioner.terminal.figure import figure_for
from partitioner.terminal.folding_table import FoldingTable, new_table

_COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3", "#8c8c8c")


def sweep_text(swept: Sweep) -> str:
    """Return in a sentence which options win, and which to take if it has to be one."""
    points = f"{plural(swept.totals_s.size, 'point')} ({_grid_text(swept.grid)})"
    winners = [one for one in swept.standings if one.uplinks_bps]
    first, *more = winners
    if not more:
        return f"{first.label} is the best at all of {points}."
    safest = min(swept.standings, key=lambda one: one.mean_ratio)
    return (
        f"{plural(len(winners), 'option')} are the best somewhere among {points}, {first.label} at most of "
        f"them ({100 * first.share:.0f} %). If it has to be one: {safest.label}, which takes "
        f"{safest.mean_ratio:.2f}x as long as the best of each point on average, and "
        f"{safest.worst_ratio:.1f}x at worst."
    )


def _grid_text(grid: Grid) -> str:
    """Return from where to where each axis goes."""
    return ", ".join(
        (
            f"uplinks {_span(grid.uplinks_bps, format_rate)}",
            f"RTTs {_span(grid.rtts_s, format_duration)}",
            f"edge times x{_span(grid.edge_scales, '{:.3g}'.format)}",
            f"cloud times x{_span(grid.cloud_loads, '{:.3g}'.format)}",
        )
    )


def _span(values: Sequence[float], write: Callable[[float], str]) -> str:
    low, high = min(values), max(values)
    return write(low) if low == high else f"{write(low)} to {write(high)}"


def sweep_table(swept: Sweep) -> FoldingTable:
    """Return the options that are the best somewhere, and what each costs if it is taken everywhere."""
    title = f"{plural(swept.totals_s.size, 'point')}; ratios to the best option of each point"
    columns = ("option", "best at", "on uplinks", "everywhere: mean", "worst")
    table = new_table(title, *columns, left=1)
    for one in swept.standings:
        if one.uplinks_bps is None:
            continue
        low, high = map(format_rate, one.uplinks_bps)
        table.add_row(
            one.label,
            f"{100 * one.share:.1f} %",
            f"{low} – {high}",
            f"{one.mean_ratio:.2f}x",
            f"{one.worst_ratio:.1f}x",
        )
    return table


def draw_sweep(swept: Sweep, plan: Plan, path: Path) -> None:
    """Draw, at the middle of the axes, bars per cut and the envelope; and a map of the best options.

    Raises UsageError when matplotlib is missing or the file cannot be written.
    """
    middle = _middle_plan(swept, plan)
    with figure_for(path, 16, 5) as figure:
        bars, lines, plane = figure.subplots(1, 3)
        draw_bars(bars, middle, middle.best)
        draw_lines(lines, middle, "middle of the sweep")
        _draw_map(plane, swept)
        figure.suptitle(f"{plan.bundle.name}: {_middle_text(swept)}")


def _middles(swept: Sweep) -> tuple[float, float, float, float]:
    grid = swept.grid
    scale, load, rtt_s, uplink = (
        axis[len(axis) // 2]
        for axis in (grid.edge_scales, grid.cloud_loads, grid.rtts_s, grid.uplinks_bps)
    )
    return scale, load, rtt_s, uplink


def _middle_text(swept: Sweep) -> str:
    scale, load, rtt_s, uplink = _middles(swept)
    return (
        f"{format_rate(uplink)}, RTT {format_duration(rtt_s)}, edge times x{scale:.3g}, "
        f"cloud times x{load:.3g}"
    )


def _middle_plan(swept: Sweep, plan: Plan) -> Plan:
    scale, load, rtt_s, uplink = _middles(swept)
    options = tuple(
        replace(option, edge_s=option.edge_s * scale, cloud_s=option.cloud_s * load)
        for option in plan.options
    )
    link = Link(uplink, swept.grid.downlink_bps or uplink, rtt_s)
    return replace(plan, options=options).at(link)


def _draw_map(axes: Any, swept: Sweep) -> None:
    """Colour the best option over the uplink and the other axis that has most values."""
    grid = swept.grid
    others = (
        ("edge times x", grid.edge_scales),
        ("cloud times x", grid.cloud_loads),
        ("RTT (ms)", tuple(1e3 * rtt_s for rtt_s in grid.rtts_s)),
    )
    place = max(range(3), key=lambda index: len(others[index][1]))
    where: list[Any] = [len(values) // 2 for _, values in others]
    where[place] = slice(None)
    plane = swept.choices[tuple(where)]
    winners, codes = np.unique(plane, return_inverse=True)
    colours = [_COLOURS[index % len(_COLOURS)] for index in range(len(winners))]
    name, values = others[place]
    axes.pcolormesh(
        _edges(np.array(grid.uplinks_bps) / 1e6), _edges(np.array(values)),
        codes.reshape(plane.shape), cmap=_colour_map(colours), vmin=-0.5, vmax=len(winners) - 0.5,
    )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    label_decades(axes.xaxis, *axes.get_xlim())
    label_decades(axes.yaxis, *axes.get_ylim())
    axes.set_xlabel("uplink (Mbit/s)")
    axes.set_ylabel(name)
    for colour, winner in zip(colours, winners, strict=True):
        axes.plot([], [], "s", color=colour, label=swept.labels[winner])
    axes.legend(fontsize=8, loc="upper right")
    axes.set_title("best option")


def _colour_map(colours: list[str]) -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap(colours)


def _edges(values: Any) -> Any:
    """Return the borders of cells around values in equal ratios; of 0 or one value, a cell anyway."""
    logs = np.log(np.maximum(values, 1e-6))
    if len(logs) == 1:
        return np.exp([logs[0] - 0.5, logs[0] + 0.5])
    inner = (logs[1:] + logs[:-1]) / 2
    return np.exp([2 * logs[0] - inner[0], *inner, 2 * logs[-1] - inner[-1]])
