"""The best placement on given links, and every cut that is best on some uplink."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from partitioner.common.units import plural
from partitioner.network.link import Link
from partitioner.search.flow_network import SplitNetwork, crossing_prices
from partitioner.search.placement import Placement, Workload, placement_cost
from protos.errors import UsageError

_SAME = 1e-7
"""Two placements whose prices differ by less than this share are the same to the envelope."""

_STANDSTILL = 1e200
"""Seconds a bit, at which only what takes no bytes is still worth its while."""


@dataclass(frozen=True)
class UplinkInterval:
    """A placement, and the uplinks between which no other is better."""

    placement: Placement
    """Priced on an uplink without limit."""
    from_bps: float
    to_bps: float


class Search:
    """Finds the cheapest placement of one piece of work, for any links and loads."""

    def __init__(self, work: Workload) -> None:
        self.work = work
        self._networks: dict[int, SplitNetwork] = {}

    def best(self, links: Sequence[Link], loads: Sequence[float] | None = None) -> Placement:
        """Return the cheapest placement; the one with the shortest reach if several are equal.

        `links[i]` leads from tier i to the next, `loads[t]` multiplies the seconds of tier t. A round
        trip is a constant for all placements that use the same links, so the links are allowed one
        after the other, and each time a minimum cut decides.
        """
        pace = self._checked(links, loads)
        best = placement_cost(self.work, (0,) * self.work.items, links, pace)
        for used in range(1, len(links) + 1):
            tier = self._solve(links[:used], pace, best.total_s)
            best = min(
                best, placement_cost(self.work, tier, links, pace), key=lambda found: found.total_s
            )
        return best

    def envelope(
        self, link: Link, loads: Sequence[float] | None = None
    ) -> tuple[UplinkInterval, ...]:
        """Return every placement on two tiers that is best on some uplink, the slowest uplink first.

        The rest of `link` is as given. A placement's cost is a straight line in 1/uplink, so the best
        ones are the lower envelope of all lines. It is found from the minimum cuts alone: where two
        neighbours cross, either they are best, or the minimum cut there is a third (Eisner and Severance,
        JACM 1976). So N placements take about 2 N minimum cuts.
        """
        pace = self._checked([link], loads)

        def best_at(slowness: float) -> Placement:
            uplink = 1 / slowness if slowness else math.inf
            tier = self.best([replace(link, uplink_bps=uplink)], pace).tier
            return placement_cost(self.work, tier, [replace(link, uplink_bps=math.inf)], pace)

        found = [best_at(0.0), best_at(_STANDSTILL)]
        waiting = [(found[0], found[1])]
        while waiting:
            fast, slow = waiting.pop()
            crossing = _crossing(fast, slow)
            if crossing is None:
                continue
            third = best_at(crossing)
            between = _bytes(slow) < _bytes(third) < _bytes(fast)
            if between and _at(third, crossing) < _at(fast, crossing) * (1 - _SAME):
                found.append(third)
                waiting += [(fast, third), (third, slow)]
        return tuple(_stretches(found))

    def _solve(
        self, links: Sequence[Link], loads: Sequence[float], known_s: float
    ) -> tuple[int, ...]:
        used = len(links)
        if used not in self._networks:
            self._networks[used] = SplitNetwork(self.work, used)
        seconds = self.work.seconds[: used + 1] * np.asarray(loads[: used + 1])[:, None]
        for at, link in enumerate(links):
            seconds[at + 1 :] += 8 * self.work.answer_bytes / link.downlink_bps
        crossing = crossing_prices(self.work, [link.uplink_bps for link in links])
        return self._networks[used].solve(seconds, crossing, known_s)

    def _checked(self, links: Sequence[Link], loads: Sequence[float] | None) -> Sequence[float]:
        pace = [1.0] * self.work.tiers if loads is None else loads
        if not (len(links) + 1 == len(pace) == self.work.tiers):
            raise UsageError(
                f"{plural(self.work.tiers, 'machine')} in a row have {plural(self.work.tiers - 1, 'link')} "
                f"between them and as many loads, not {plural(len(links), 'link')} and "
                f"{plural(len(pace), 'load')}."
            )
        if not all(0 < load < math.inf for load in pace):
            raise UsageError(f"loads of {list(pace)} have no meaning. Give factors above 0.")
        return pace


def _bytes(placement: Placement) -> float:
    return placement.upload_bytes[0]


def _at(placement: Placement, slowness: float) -> float:
    """Return the cost on an uplink of 1 / `slowness` bit/s."""
    return placement.total_s + 8 * _bytes(placement) * slowness


def _crossing(fast: Placement, slow: Placement) -> float | None:
    """Return the 1/uplink from which on `slow` is better; None if it is no cheaper in bytes."""
    saved = 8 * (_bytes(fast) - _bytes(slow))
    return max(0.0, (slow.total_s - fast.total_s) / saved) if saved > 0 else None


def _stretches(found: Sequence[Placement]) -> Iterator[UplinkInterval]:
    """Walk the lower envelope of the lines from the slowest uplink, where the fewest bytes win."""
    current = min(found, key=lambda placement: (_bytes(placement), placement.total_s))
    below = 0.0
    while True:
        rising = [
            (_crossing(other, current) or 0.0, -_bytes(other), other)
            for other in found
            if _bytes(other) > _bytes(current) and other.total_s < current.total_s
        ]
        if not rising:
            yield UplinkInterval(current, below, math.inf)
            return
        slowness, _, following = max(rising, key=lambda line: line[:2])
        yield UplinkInterval(current, below, 1 / slowness)
        current, below = following, 1 / slowness
