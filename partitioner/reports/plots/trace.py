"""Pictures of simulations; matplotlib is loaded when one is drawn."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from partitioner.common.units import plural
from partitioner.simulation.adaptive import ADAPTIVE
from partitioner.simulation.pipeline import Setup
from partitioner.simulation.replay import CLAIRVOYANT, Run
from partitioner.terminal.figure import figure_for

_GREY = "#b0b0b0"
_FIXED = ("#4c72b0", "#dd8452")
_CHOOSING = {ADAPTIVE: "#c44e52", CLAIRVOYANT: "#55a868"}


def draw_runs(runs: Sequence[Run], setup: Setup, path: Path) -> None:
    """Draw bandwidth, chosen option and latency over time, and the latencies' distributions."""
    with figure_for(path, 12, 6) as figure:
        grid = figure.add_gridspec(3, 2, width_ratios=(2.2, 1))
        rate = figure.add_subplot(grid[0, 0])
        chosen = figure.add_subplot(grid[1, 0], sharex=rate)
        latency = figure.add_subplot(grid[2, 0], sharex=rate)
        spread = figure.add_subplot(grid[:, 1])
        end = max(run.passages[-1].done_at for run in _shown(runs))
        _draw_rate(rate, setup, end)
        _draw_choices(chosen, runs)
        _draw_latencies(latency, runs)
        _draw_distributions(spread, runs)
        figure.suptitle(f"{plural(len(runs[0].passages), 'frame')} over {setup.trace.name}")


def _draw_rate(axes: Any, setup: Setup, end_s: float) -> None:
    seconds = np.linspace(0, end_s, 1500)
    rates = [setup.trace.uplink_bps_at(second) / 1e6 for second in seconds]
    axes.fill_between(seconds, rates, step="post", color="#4c72b0", alpha=0.6, linewidth=0)
    axes.set_ylabel("uplink (Mbit/s)")
    axes.set_ylim(0)
    axes.tick_params(labelbottom=False)


def _draw_choices(axes: Any, runs: Sequence[Run]) -> None:
    choosing = [run for run in runs if run.policy in _CHOOSING]
    used = {label for run in choosing for label in run.shares}
    labels = [run.policy for run in runs if run.policy in used]
    for run in choosing:
        moments = [passage.begun_at for passage in run.passages]
        places = [labels.index(passage.demand.label) for passage in run.passages]
        # The clairvoyant may move at every frame: as points it hides nothing.
        if run.policy == ADAPTIVE:
            axes.step(moments, places, where="post", label=run.policy, linewidth=1.6,
                      color=_CHOOSING[run.policy], zorder=3)  # fmt: skip
        else:
            axes.plot(moments, places, linestyle="", marker="|", markersize=5, label=run.policy,
                      color=_CHOOSING[run.policy], alpha=0.5, zorder=2)  # fmt: skip
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.set_ylim(-0.5, max(len(labels), 1) - 0.5)
    axes.tick_params(labelbottom=False)
    axes.grid(axis="y", alpha=0.3)


def _draw_latencies(axes: Any, runs: Sequence[Run]) -> None:
    for run, colour in _shown(runs).items():
        moments = [passage.begun_at for passage in run.passages]
        axes.plot(moments, 1e3 * run.latencies_s, color=colour, linewidth=1.0, alpha=0.85)
    axes.set_yscale("log")
    axes.set_ylabel("latency (ms)")
    axes.set_xlabel("time (s)")


def _draw_distributions(axes: Any, runs: Sequence[Run]) -> None:
    shown = _shown(runs)
    share = np.linspace(0, 1, 200)
    for run in runs:
        values = 1e3 * np.quantile(run.latencies_s, share)
        if run in shown:
            axes.plot(values, share, label=run.policy, color=shown[run], linewidth=1.6, zorder=2)
        else:
            axes.plot(values, share, color=_GREY, linewidth=0.7, zorder=1)
    ends = [1e3 * run.latencies_s for run in shown]
    axes.set_xlim(min(end.min() for end in ends) * 0.8, max(end.max() for end in ends) * 1.5)
    axes.set_xscale("log")
    axes.set_xlabel("latency (ms)")
    axes.set_ylabel("share of frames that are faster")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.2)


def _shown(runs: Sequence[Run]) -> dict[Run, str]:
    """Return those that choose and the two best fixed options, with colours; more would hide each other."""
    fixed = sorted((run for run in runs if run.policy not in _CHOOSING), key=lambda run: run.mean_s)
    shown = dict(zip(fixed, _FIXED, strict=False))
    return shown | {run: _CHOOSING[run.policy] for run in runs if run.policy in _CHOOSING}
