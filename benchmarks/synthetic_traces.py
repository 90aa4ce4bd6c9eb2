"""Traces for benchmarks: a folder's, or made ones that rise, fall, wander and burst."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from partitioner.network.step_function import Steps
from partitioner.network.trace import Trace
from partitioner.network.trace_files import MAHIMAHI_PACKET_BYTES, rates_through, read_trace

_TICK_S = 0.02
_FORGETS_S = 5.0
"""In which a rate that has wandered off comes back by a factor of e."""
_OUTAGE_S = 0.7


def read_traces(folder: Path) -> list[Trace]:
    """Return the traces in `folder`, or the made ones where it is none (`.`)."""
    if folder == Path():
        return [steps(), wander(3e6, 0), wander(1.5e6, 1)]
    return [
        read_trace(path)
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != "LICENSE"
    ]


def steps() -> Trace:
    """Return five rates, each for six seconds, with falls to a tenth and less."""
    rates = (16e6, 2e6, 6e6, 0.5e6, 10e6)
    times = [6.0 * place for place in range(len(rates))]
    return Trace("steps", Steps(times, list(rates), 30.0))


def wander(middle_bps: float, seed: int) -> Trace:
    """Return a rate that is drawn anew every two seconds, log-normally around `middle_bps`, for 30 s.

    Each keeps 0.8 of the logarithm before it, as mobile links change little from second to second.
    """
    rng = np.random.default_rng(seed)
    level, rates = 0.0, []
    for _ in range(15):
        level = 0.8 * level + 0.6 * rng.standard_normal()
        rates.append(float(middle_bps * np.exp(level)))
    times = [2.0 * place for place in range(len(rates))]
    return Trace(f"wander-{middle_bps / 1e6:g}", Steps(times, rates, 30.0))


@dataclass(frozen=True)
class Spell:
    """A bad time at the beginning, in seconds; `share` of the rate is left in it."""

    begins_s: float
    ends_s: float
    share: float


@dataclass(frozen=True)
class Bursts:
    """What a bursty link is like; see `bursty`."""

    middle_bps: float
    wander: float
    """Deviation of the rate's logarithm after a second."""
    outages_per_min: float = 0.0
    """Each lasts 0.7 s on average."""
    spell: Spell | None = None


BURSTY = {
    "slow-3": Bursts(3e6, 0.3),
    "fast-3": Bursts(3e6, 1.2, outages_per_min=2),
    "spell-10": Bursts(10e6, 0.2, spell=Spell(2, 5, 0.08)),
    "spell-20": Bursts(20e6, 0.4, outages_per_min=1, spell=Spell(3, 6, 0.03)),
    "outages-5": Bursts(5e6, 0.5, outages_per_min=12),
    "edge-0.8": Bursts(0.8e6, 0.8, outages_per_min=4),
}
"""Slow and fast wander; links that are good for long after one bad spell, which small messages do not tell;
many short outages; and one that is hardly worth using."""


def bursty_traces(seed: int = 0, seconds: float = 120.0) -> list[Trace]:
    """Return a trace of each kind in BURSTY; another `seed` draws others of the same kinds."""
    return [
        bursty(f"bursty-{name}", bursts, 100 * seed + place, seconds)
        for place, (name, bursts) in enumerate(BURSTY.items(), start=1)
    ]


def bursty(name: str, bursts: Bursts, seed: int, seconds: float = 120.0) -> Trace:
    """Return an uplink as cellular schedulers give it: opportunities to send one packet of 1,500 bytes.

    They are a Poisson process whose rate does Brownian motion, in its logarithm, and sticks at outages (the
    model of K. Winstein, A. Sivaraman and H. Balakrishnan, "Stochastic forecasts achieve high throughput
    and low delay over cellular networks", NSDI 2013). Here it is also drawn back to the middle.
    """
    rng = np.random.default_rng(seed)
    ticks = np.arange(round(seconds / _TICK_S)) * _TICK_S
    rates = bursts.middle_bps * np.exp(_brownian(rng, len(ticks), bursts.wander))
    rates[_out(rng, ticks, bursts.outages_per_min)] = 0.0
    if (spell := bursts.spell) is not None:
        rates[(ticks >= spell.begins_s) & (ticks < spell.ends_s)] *= spell.share
    packets = rng.poisson(rates * _TICK_S / (8 * MAHIMAHI_PACKET_BYTES))
    slots_s = np.sort(np.repeat(ticks, packets) + _TICK_S * rng.random(packets.sum()))
    return Trace(name, rates_through(np.floor(1e3 * slots_s).astype(int).tolist()))


def _brownian(rng: np.random.Generator, count: int, wander: float) -> np.ndarray:
    moves = wander * np.sqrt(_TICK_S) * rng.standard_normal(count)
    keep, level, levels = 1 - _TICK_S / _FORGETS_S, 0.0, []
    for move in moves.tolist():
        level = keep * level + move
        levels.append(level)
    return np.array(levels)


def _out(rng: np.random.Generator, ticks: np.ndarray, per_min: float) -> np.ndarray:
    """Return which ticks lie in an outage."""
    begins = np.flatnonzero(rng.random(len(ticks)) < per_min / 60 * _TICK_S)
    lasts = rng.exponential(_OUTAGE_S, len(begins))
    out = np.zeros(len(ticks), bool)
    for begin, length in zip(begins, lasts, strict=True):
        out[begin : begin + max(1, round(length / _TICK_S))] = True
    return out
