"""How repeatable is the best option of a profile, measured alone and beside other work?

Each model is profiled in turns: alone, and beside two processes that work and pause at random, which this
script starts. Every profile is read in two ways: by the medians of all repeats (the baseline), and by its
estimates. On each of 84 links both say which option is best, the edge scaled from the measured times.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import reporting
from benchmarks.plans import frames_of, prepare
from partitioner.bundle.bundle import Bundle
from partitioner.network.link import Link
from partitioner.planning.plan import Plan, plan
from partitioner.profiles.profile import CutProfile, Profile, StageProfile
from partitioner.profiles.profiler import measure_profile
from protos.names import CLOUD, EDGE

LINKS = [
    Link(float(uplink), float(uplink), rtt_s)
    for uplink, rtt_s in product(np.geomspace(5e5, 1e8, 14), (0.005, 0.01, 0.02, 0.04, 0.08, 0.16))
]
_ALIKE = 2.0
"""Percent: what is measured again agrees no better than this."""
ALONE, BESIDE = "alone", "beside other work"
OTHER_WORK = """
import random, sys, time, zlib
import numpy as np
rng, matrix, data = random.Random(int(sys.argv[1])), np.ones((400, 400), np.float32), bytes(1 << 20)
while True:
    end = time.perf_counter() + rng.expovariate(1 / 0.6)
    while time.perf_counter() < end:
        matrix @ matrix if int(sys.argv[1]) % 2 else zlib.compress(data)
    time.sleep(rng.expovariate(1 / 0.4))
"""


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Profile every model alone and beside other work, and compare what is best."""
    results = {}
    for name in arguments.models.split(","):
        bundle = prepare(name, Path(arguments.folder))
        profiles: dict[str, list[Profile]] = {ALONE: [], BESIDE: []}
        for turn in range(arguments.turns):
            for way, found in profiles.items():
                with other_work(2 * turn if way == BESIDE else None):
                    feeds = frames_of(name, bundle)
                    found.append(measure_profile(bundle, budget_s=arguments.budget_s, feeds=feeds))
        results[name] = compare(bundle, profiles, arguments.edge_scale)
    return results


@contextmanager
def other_work(seed: int | None) -> Iterator[None]:
    """Keep two processes at work and at rest by turns; None: there is no other work."""
    seeds = () if seed is None else (seed, seed + 1)
    works = [subprocess.Popen([sys.executable, "-c", OTHER_WORK, str(one)]) for one in seeds]
    try:
        yield
    finally:
        for work in works:
            work.kill()
            work.wait()


def compare(
    bundle: Bundle, profiles: dict[str, list[Profile]], edge_scale: float
) -> dict[str, Any]:
    """Return by way of reading on how many links the profiles agree, and what a disagreement costs."""
    return {
        "links": len(LINKS),
        "whole_ms": {way: [_whole_ms(one) for one in found] for way, found in profiles.items()},
        "repeats": {way: [_repeats(one) for one in found] for way, found in profiles.items()},
        "breaks": {way: [_break(one) for one in found] for way, found in profiles.items()},
        "medians of all repeats": _agreement(
            bundle,
            {way: [_raw(one) for one in found] for way, found in profiles.items()},
            edge_scale,
        ),
        "estimates": _agreement(bundle, profiles, edge_scale),
    }


def _agreement(
    bundle: Bundle, profiles: dict[str, list[Profile]], edge_scale: float
) -> dict[str, Any]:
    made = {
        way: [[plan(bundle, link, one.scaled(edge_scale), one) for link in LINKS] for one in found]
        for way, found in profiles.items()
    }
    across = list(product(made[ALONE], made[BESIDE]))
    return {
        "interior": {way: [_interior(plans) for plans in found] for way, found in made.items()},
        "same alone and beside": [_same(*pair) for pair in across],
        "same alone": [_same(*pair) for pair in combinations(made[ALONE], 2)],
        "slower by %": [_regret(*pair) for pair in across],
    }


def _interior(plans: Sequence[Plan]) -> int:
    return sum(made.best.cut not in (CLOUD, EDGE) for made in plans)


def _same(first: Sequence[Plan], second: Sequence[Plan]) -> int:
    return sum(a.best.label == b.best.label for a, b in zip(first, second, strict=True))


def _regret(alone: Sequence[Plan], beside: Sequence[Plan]) -> dict[str, float]:
    """Return by how much the choice made beside other work is slower, by the times measured alone."""
    lost = [
        100 * (a[b.best.label].total_s / a.best.total_s - 1)
        for a, b in zip(alone, beside, strict=True)
    ]
    alike = sum(each <= _ALIKE for each in lost)
    return {"mean": float(np.mean(lost)), "worst": max(lost), "links within 2 %": alike}


def _raw(profile: Profile) -> Profile:
    """Return the profile as it would be without estimates."""

    def plain(stage: StageProfile | None) -> StageProfile | None:
        return stage and stage.model_copy(update={"estimate": None})

    def bare(cut: CutProfile) -> CutProfile:
        return cut.model_copy(update={"head": plain(cut.head), "tail": plain(cut.tail)})

    cuts = {name: bare(cut) for name, cut in profile.cuts.items()}
    return profile.model_copy(update={"cuts": cuts})


def _whole_ms(profile: Profile) -> list[float]:
    """Return the whole model's median of all repeats, and its estimate."""
    whole = profile.cuts[EDGE].head
    return [1e3 * whole.timing.median_s, 1e3 * whole.seconds] if whole else []


def _repeats(profile: Profile) -> list[int]:
    stages = [stage for cut in profile.cuts.values() for stage in (cut.head, cut.tail) if stage]
    counts = [stage.timing.repeats for stage in stages]
    return [min(counts), int(np.median(counts)), max(counts)]


def _break(profile: Profile) -> float:
    return 100 * max((found.share for found in profile.order_breaks), default=0.0)


if __name__ == "__main__":
    reporting.main(
        __doc__,
        measure,
        folder=str(reporting.RESULTS / "bundles"),
        models="DigitNet,MobileNetV2",
        turns=2,
        edge_scale=6.0,
        budget_s=15.0,
    )
