"""Pictures of a plan: where each cut spends its time, and which option wins at which bandwidth."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from partitioner.common.units import format_duration, format_rate, plural
from partitioner.planning.guesses import guesses
from partitioner.planning.option import Option
from partitioner.planning.plan import Plan
from partitioner.reports.plots.ticks import label_decades
from partitioner.terminal.figure import figure_for
from protos.names import CLOUD, EDGE

Floats = npt.NDArray[np.float64]

_PARTS = (("edge", "#4c72b0"), ("network", "#dd8452"), ("cloud", "#55a868"))
_NAMED = ("#c44e52", "#8172b3", "#937860", "#1f9e9e", "#d1893b")
_PALE, _GREY, _DARK = "#dcdcdc", "#9a9a9a", "#303030"
_SPAN = 30.0
"""The bandwidth axis reaches this factor below and above the given uplink, and past every switch."""
_MOST_BARS = 20
_NEAREST_TEXTS = 0.05
"""Switches that lie closer to each other than this share of the axis get one text."""


def draw_plan(plan: Plan, path: Path, best: Option | None = None) -> None:
    """Write a PNG (or what the suffix says): stacked bars per cut, and latency against uplink.

    Raises UsageError when matplotlib is missing or the file cannot be written.
    """
    chosen = best or plan.best
    with figure_for(path, 12, max(4.6, 1.7 + 0.21 * len(_bars_of(plan, chosen)))) as figure:
        bars, lines = figure.subplots(1, 2)
        draw_bars(bars, plan, chosen)
        draw_lines(lines, plan)
        figure.suptitle(f"{plan.bundle.name} on {plan.link}")
        if scaled := scaled_text(plan):
            figure.supxlabel(scaled, fontsize=9, color=_NAMED[0])


def scaled_text(plan: Plan) -> str:
    """Return which sides are scaled, not measured, and by what; empty: none."""
    parts = [
        f"the {guess.role} ({'the edge as it was measured ' if guess.kind == 'assumed' else ''}"
        f"x {guess.scale:.3g})"
        for guess in guesses(plan)
    ]
    return f"scaled, not measured: {' and '.join(parts)}" if parts else ""


def draw_bars(axes: Any, plan: Plan, chosen: Option) -> None:
    """Draw where the cuts spend their time, each with the codec that is fastest there, and the totals."""
    options = _bars_of(plan, chosen)
    places = np.arange(len(options))
    left = np.zeros(len(options))
    for part, colour in _PARTS:
        widths = np.array([1e3 * getattr(option.expected, f"{part}_s") for option in options])
        axes.barh(places, widths, left=left, color=colour, label=part, height=0.72)
        left += widths
    # One option that is far slower than the rest must not squeeze them into a line.
    limit = min(1.18 * left.max(), 2.5 * float(np.median(left)))
    for place, option in enumerate(options):
        _write_total(axes, (float(left[place]), place, limit), is_best=option == chosen)
    axes.set_yticks(places, [option.label for option in options])
    axes.get_yticklabels()[options.index(chosen)].set_fontweight("bold")
    axes.invert_yaxis()
    axes.margins(y=0.02)
    axes.set_xlim(0, limit)
    left_out = len({option.cut for option in plan.options}) - len({o.cut for o in options})
    missing = f"; {plural(left_out, 'slower cut')} left out" if left_out else ""
    axes.set_xlabel(f"latency (ms){missing}")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize=9, ncols=3, frameon=False)
    _tidy(axes)


def _bars_of(plan: Plan, chosen: Option) -> list[Option]:
    """Return the fastest option of each cut and the one chosen; of many cuts the ends and the fastest."""
    fastest = _fastest(plan)
    kept = [o for o in fastest if o.cut in (CLOUD, EDGE)] + [chosen]
    others = sorted((o for o in fastest if o not in kept), key=lambda o: o.total_s)
    kept += others[: _MOST_BARS - len(kept)]
    return [option for option in plan.options if option in kept]


def _write_total(axes: Any, at: tuple[float, int, float], *, is_best: bool) -> None:
    """Write a bar's total behind it; at the border, on white, where the bar reaches beyond it."""
    total_ms, place, limit = at
    beyond = total_ms > 0.9 * limit
    axes.text(
        0.995 * limit if beyond else total_ms + 0.01 * limit,
        place,
        f"{total_ms:.1f}{' best' if is_best else ''}",
        va="center",
        ha="right" if beyond else "left",
        fontsize=8.5,
        fontweight="bold" if is_best else "normal",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1} if beyond else None,
    )


def draw_lines(axes: Any, plan: Plan, here: str = "this link") -> None:
    """Draw latency against the uplink, the plan's choice, where it changes, and the link asked about.

    `here` says what that link is. The other cuts than those named are pale, each with the codec that is
    fastest at that uplink.
    """
    uplinks = _uplinks(plan)
    totals = {option.label: _totals_ms(option, plan, uplinks) for option in plan.options}
    envelope = np.min(list(totals.values()), axis=0)
    named = named_curves(plan, uplinks)
    for options in _by_cut(plan).values():
        if not any(option.label in named for option in options):
            fastest = np.min([totals[option.label] for option in options], axis=0)
            axes.plot(uplinks / 1e6, fastest, color=_PALE, linewidth=0.9, zorder=1)
    axes.plot(uplinks / 1e6, envelope, color="black", linewidth=6, alpha=0.2, zorder=2,
              label="the plan's choice", solid_capstyle="butt")  # fmt: skip
    for label, colour in zip(named, _NAMED, strict=False):
        axes.plot(uplinks / 1e6, totals[label], color=colour, linewidth=1.7, label=label, zorder=3)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(uplinks[0] / 1e6, uplinks[-1] / 1e6)
    # Every named curve shows at least where it is at its best.
    top = max(float(totals[label].min()) for label in named)
    axes.set_ylim(envelope.min() * 0.6, max(envelope.max() * 3, top * 2))
    _mark_switches(axes, plan, uplinks)
    _mark_link(axes, plan, here)
    label_decades(axes.xaxis, *axes.get_xlim())
    label_decades(axes.yaxis, *axes.get_ylim())
    axes.set_xlabel("uplink (Mbit/s)")
    axes.set_ylabel("latency (ms)")
    # Above the axes, where no curve is.
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize=8, ncols=3, frameon=False)
    _tidy(axes)


def named_curves(plan: Plan, uplinks: Floats) -> list[str]:
    """Return the labels of five options at most: the best here, what wins most of the axis, and the ends."""
    labels = [option.label for option in plan.options]
    totals = np.array([_totals_ms(option, plan, uplinks) for option in plan.options])
    wins = np.bincount(totals.argmin(axis=0), minlength=len(labels))
    ranked = sorted(range(len(labels)), key=lambda place: -int(wins[place]))
    widest = [labels[place] for place in ranked if wins[place]]
    ends = [o.label for o in _fastest(plan) if o.cut in (CLOUD, EDGE)]
    return list(dict.fromkeys([plan.best.label, *widest, *ends]))[: len(_NAMED)]


def _mark_switches(axes: Any, plan: Plan, uplinks: Floats) -> None:
    """Draw a dotted line where the best option changes, and say at which uplink."""
    span = np.log(uplinks[-1] / uplinks[0])
    last = 0.0
    for switch in plan.switches():
        if not uplinks[0] < switch.uplink_bps < uplinks[-1]:
            continue
        axes.axvline(switch.uplink_bps / 1e6, color=_GREY, linestyle=":", linewidth=1, zorder=1)
        if not last or np.log(switch.uplink_bps / last) > _NEAREST_TEXTS * span:
            axes.annotate(
                format_rate(switch.uplink_bps), (switch.uplink_bps / 1e6, 0.015),
                xycoords=("data", "axes fraction"), rotation=90, fontsize=7.5, ha="right",
                color="#606060",
            )  # fmt: skip
            last = switch.uplink_bps


def _mark_link(axes: Any, plan: Plan, here: str) -> None:
    """Draw a line at the uplink that was asked about, and say what the best takes there."""
    uplink, total_s = plan.link.uplink_bps, plan.best.total_s
    axes.axvline(uplink / 1e6, color=_DARK, linewidth=1.2, zorder=4)
    axes.plot([uplink / 1e6], [1e3 * total_s], "o", color=_DARK, markersize=6, zorder=5)
    axes.annotate(
        f"{here}: {format_rate(uplink)}\n{plan.best.label}, {format_duration(total_s)}",
        (uplink / 1e6, 0.985), xycoords=("data", "axes fraction"), xytext=(-5, 0),
        textcoords="offset points", ha="right", va="top", fontsize=8.5, color=_DARK, zorder=6,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5},
    )  # fmt: skip


def _tidy(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
    axes.set_axisbelow(True)


def _by_cut(plan: Plan) -> dict[str, list[Option]]:
    cuts: dict[str, list[Option]] = {}
    for option in plan.options:
        cuts.setdefault(option.cut, []).append(option)
    return cuts


def _fastest(plan: Plan) -> list[Option]:
    """Return the fastest option of each cut."""
    return [min(options, key=lambda o: o.total_s) for options in _by_cut(plan).values()]


def _totals_ms(option: Option, plan: Plan, uplinks: Floats) -> Floats:
    """Return an option's latency at each of the uplinks: all but its upload stays as it is."""
    bits = 8 * option.expected.upload_bytes
    return 1e3 * (option.total_s - bits / plan.link.uplink_bps + bits / uplinks)


def _uplinks(plan: Plan) -> Floats:
    points = [plan.link.uplink_bps / _SPAN, plan.link.uplink_bps * _SPAN]
    points += [
        s.uplink_bps * f for s in plan.switches() if np.isfinite(s.uplink_bps) for f in (0.5, 2)
    ]
    return np.geomspace(min(points), max(points), 200)
