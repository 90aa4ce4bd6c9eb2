"""Random DAGs to place, and the exhaustive search that no clever one may beat or miss."""

import math
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from partitioner.network.link import Link
from partitioner.search.placement import Flow, Workload


def random_work(rng: np.random.Generator, tiers: int = 2, most: int = 8) -> Workload:
    """Items that make one to two values each, which one to four read; one to three inputs and outputs.

    Now and then a value cannot cross, weighs nothing, or an item costs nothing.
    """
    items = int(rng.integers(1, most + 1))
    made: list[tuple[int | None, set[int]]] = [(None, set()) for _ in range(rng.integers(1, 4))]
    for item in range(items):
        for at in rng.choice(len(made), min(len(made), int(rng.integers(1, 4))), replace=False):
            made[at][1].add(item)
        made += [(item, set()) for _ in range(rng.integers(1, 3))]
    flows = [
        Flow(_bytes(rng, maker), maker, tuple(sorted(readers)))
        for maker, readers in made
        if readers
    ]
    answers = np.where(rng.random(items) < 0.3, rng.integers(0, 2000, items), 0).astype(float)
    answers[-1] += 10
    seconds = rng.integers(0, 1000, (tiers, items)) / 1000 / (10.0 ** np.arange(tiers))[:, None]
    return Workload(seconds, tuple(flows), answers)


def _bytes(rng: np.random.Generator, maker: int | None) -> float:
    kind = rng.random()
    if kind < 0.05 and maker is not None:
        return math.inf
    return 0.0 if kind < 0.1 else float(rng.integers(1, 100_000))


def random_link(rng: np.random.Generator) -> Link:
    rtt = 0.0 if rng.random() < 0.2 else float(rng.uniform(0, 0.5))
    return Link(10 ** rng.uniform(3, 8), 10 ** rng.uniform(3, 8), rtt)


def all_placements(work: Workload) -> Iterator[tuple[int, ...]]:
    """Every placement in which no value flows back and none crosses that cannot."""
    for tier in product(range(work.tiers), repeat=work.items):
        if all(
            flow.maker is None
            or all(
                tier[reader] == tier[flow.maker]
                if math.isinf(flow.nbytes)
                else tier[reader] >= tier[flow.maker]
                for reader in flow.readers
            )
            for flow in work.flows
        ):
            yield tier


def price_by_hand(
    work: Workload, tier: Sequence[int], links: Sequence[Link], loads: Sequence[float]
) -> float:
    """The price as one would tell it: computing, then each link's round trip, uploads and answers."""
    total = sum(loads[t] * work.seconds[t][item] for item, t in enumerate(tier))
    for number, link in enumerate(links, start=1):
        if max(tier) < number:
            break
        total += link.rtt_s
        for flow in work.flows:
            made_before = flow.maker is None or tier[flow.maker] < number
            if made_before and any(tier[reader] >= number for reader in flow.readers):
                total += flow.nbytes * 8 / link.uplink_bps
        for item, t in enumerate(tier):
            if t >= number:
                total += work.answer_bytes[item] * 8 / link.downlink_bps
    return float(total)
