"""The best option over a grid of links and loads: the plan's arithmetic, on whole arrays at once."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from partitioner.common.arguments import need
from partitioner.common.tables import data_frame, html_table, text_table
from partitioner.common.units import parse_duration, parse_rate, plural
from partitioner.planning.plan import Plan
from protos.errors import UsageError

POINT_COLUMNS = ("edge_scale", "cloud_load", "rtt_s", "uplink_bps", "option", "total_s")

Floats = npt.NDArray[np.float64]

_MOST_POINTS = 1_000_000


@dataclass(frozen=True)
class Grid:
    """The values of each axis; a point is one of each. Loads and scales multiply the plan's times."""

    edge_scales: tuple[float, ...]
    cloud_loads: tuple[float, ...]
    rtts_s: tuple[float, ...]
    uplinks_bps: tuple[float, ...]
    downlink_bps: float | None = None
    """None: each point's uplink."""

    def __repr__(self) -> str:
        edges, clouds, trips, uplinks = self.shape
        return (
            f"<Grid of {plural(math.prod(self.shape), 'point')}: {plural(uplinks, 'uplink')}, "
            f"{plural(trips, 'round trip')}, {plural(edges, 'edge scale')}, {plural(clouds, 'cloud load')}>"
        )

    def __post_init__(self) -> None:
        if math.prod(self.shape) > _MOST_POINTS:
            raise UsageError(
                f"a sweep of {plural(math.prod(self.shape), 'point')} is too large. Ask for at most "
                f"{_MOST_POINTS}: give fewer steps, as in 0.1mbit:100mbit:50."
            )

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Edge scales, cloud loads, round trips, uplinks."""
        edges, clouds = len(self.edge_scales), len(self.cloud_loads)
        return edges, clouds, len(self.rtts_s), len(self.uplinks_bps)

    def points(self) -> Iterator[tuple[float, float, float, float]]:
        """Yield edge scale, cloud load, round trip and uplink of each point, the uplink fastest."""
        for scale in self.edge_scales:
            for load in self.cloud_loads:
                for rtt_s in self.rtts_s:
                    for uplink_bps in self.uplinks_bps:
                        yield scale, load, rtt_s, uplink_bps


@dataclass(frozen=True)
class OptionStanding:
    """One option over all points: where it is best, and what it costs to take it everywhere."""

    label: str
    share: float
    """Of the points, at which it is the best."""
    uplinks_bps: tuple[float, float] | None
    """The slowest and the fastest uplink at which it is the best somewhere; None: nowhere."""
    mean_ratio: float
    """Geometric mean of its total over the best one's."""
    worst_ratio: float


@dataclass(frozen=True)
class Sweep:
    """The best option at every point: its place among `labels`, and its total in seconds."""

    grid: Grid
    labels: tuple[str, ...] = field(repr=False)
    choices: npt.NDArray[np.intp] = field(repr=False)
    totals_s: Floats = field(repr=False)
    standings: tuple[OptionStanding, ...] = field(repr=False)
    """By share, largest first."""

    def to_dict(self) -> dict[str, Any]:
        """Return the standings of all options, and every point, as plain data."""
        return {
            "options": [
                {
                    "option": one.label,
                    "best_share": one.share,
                    "uplinks_bps": None if one.uplinks_bps is None else list(one.uplinks_bps),
                    "mean_ratio": one.mean_ratio,
                    "worst_ratio": one.worst_ratio,
                }
                for one in self.standings
            ],
            "downlink_bps": self.grid.downlink_bps,
            "points": self._points(),
        }

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame with a row for each point; UsageError where pandas is missing."""
        return data_frame(self._points())

    def point_rows(self) -> Iterator[tuple[object, ...]]:
        """Yield a row of POINT_COLUMNS for each point."""
        found = zip(self.choices.ravel().tolist(), self.totals_s.ravel().tolist(), strict=True)
        for point, (place, total_s) in zip(self.grid.points(), found, strict=True):
            yield (*point, self.labels[place], total_s)

    def _points(self) -> list[dict[str, object]]:
        return [dict(zip(POINT_COLUMNS, row, strict=True)) for row in self.point_rows()]

    def __str__(self) -> str:
        return text_table(*self._table())

    def _repr_html_(self) -> str:
        return html_table(*self._table(), bold=0)

    def _table(self) -> tuple[str, Sequence[str], Sequence[Sequence[str]]]:
        """Return title, header and cells of a small table: the options that are the best somewhere."""
        points = plural(self.totals_s.size, "point")
        title = f"{points}; what an option takes everywhere, over each point's best"
        rows = [
            (
                one.label,
                f"{100 * one.share:.1f} %",
                f"{one.mean_ratio:.2f}x",
                f"{one.worst_ratio:.1f}x",
            )
            for one in self.standings
            if one.uplinks_bps
        ]
        return title, ("option", "best at", "mean", "worst"), rows


def sweep(plan: Plan, grid: Grid) -> Sweep:
    """Price every option at every point of the grid, as `plan` does at one."""
    need("plan", plan, Plan, wanted="a Plan, as plan(bundle, link, edge, cloud) returns it")
    need("grid", grid, Grid, wanted="a Grid, as parse_grid returns it")
    best = np.full(grid.shape, np.inf)
    choices = np.zeros(grid.shape, np.intp)
    for place in range(len(plan.options)):
        totals = _totals(plan, place, grid)
        better = totals < best  # of equals the earlier cut, as in the plan
        choices[better] = place
        np.minimum(best, totals, out=best)
    standings = (_standing(plan, place, grid, choices, best) for place in range(len(plan.options)))
    ordered = sorted(standings, key=lambda one: (-one.share, one.mean_ratio))
    labels = tuple(option.label for option in plan.options)
    return Sweep(grid, labels, choices, best, tuple(ordered))


def parse_axis(text: str, parse: Callable[[str], float], what: str) -> tuple[float, ...]:
    """Return `FROM:TO:STEPS` in equal ratios, or the values of a list with commas, or one value.

    Raises UsageError, which says what is wrong with `what`.
    """
    if ":" not in text:
        return tuple(_above(parse(part), part, what) for part in text.split(","))
    parts = text.split(":")
    steps = _count(parts[2]) if len(parts) == 3 else 0
    if not 2 <= steps <= _MOST_POINTS:
        raise UsageError(
            f"{what} {text!r} is no range. Write FROM:TO:STEPS with 2 to {_MOST_POINTS} steps, or values "
            "as 1,2,5."
        )
    first, last = (_above(parse(part), part, what) for part in parts[:2])
    if first == 0 or last == 0:
        raise UsageError(
            f"{what} {text!r} starts or ends at 0, which has no equal ratios. List values."
        )
    return tuple(np.geomspace(first, last, steps).tolist())


def parse_grid(
    bandwidth: str, rtt: str, cloud_load: str, edge_scale: str, down: str | None
) -> Grid:
    """Return the grid of what was asked on the command line."""
    return Grid(
        edge_scales=parse_axis(edge_scale, _factor, "`edge_scale`"),
        cloud_loads=parse_axis(cloud_load, _factor, "`cloud_load`"),
        rtts_s=parse_axis(rtt, parse_duration, "`rtt`"),
        uplinks_bps=parse_axis(bandwidth, parse_rate, "`bandwidth`"),
        downlink_bps=parse_rate(down) if down else None,
    )


def _totals(plan: Plan, place: int, grid: Grid) -> Floats:
    """Return the total of one option at each point, in the grid's shape (or one that fills it)."""
    option = plan.options[place]
    scale, load, rtt_s, uplink = np.ix_(
        grid.edge_scales, grid.cloud_loads, grid.rtts_s, grid.uplinks_bps
    )
    computing: Floats = option.edge_s * scale + option.cloud_s * load
    if option.upload_bytes == 0 and option.download_bytes == 0:
        return np.broadcast_to(computing, grid.shape)
    downlink = grid.downlink_bps or uplink
    return computing + (
        rtt_s + 8 * option.upload_bytes / uplink + 8 * option.download_bytes / downlink
    )


def _standing(
    plan: Plan, place: int, grid: Grid, choices: npt.NDArray[np.intp], best: Floats
) -> OptionStanding:
    ratios = _totals(plan, place, grid) / np.maximum(best, 1e-12)
    wins = choices == place
    uplinks = np.broadcast_to(grid.uplinks_bps, grid.shape)[wins]
    return OptionStanding(
        plan.options[place].label,
        float(wins.mean()),
        (float(uplinks.min()), float(uplinks.max())) if uplinks.size else None,
        float(np.exp(np.log(np.maximum(ratios, 1e-12)).mean())),
        float(ratios.max()),
    )


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _factor(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"{text!r} is no factor. Write numbers above 0, as 1:8:4 or 1,2,4.")
    return value


def _above(value: float, text: str, what: str) -> float:
    if not 0 <= value < math.inf:
        raise UsageError(f"{what} {text!r} has no meaning. Give finite values of 0 or more.")
    return value
