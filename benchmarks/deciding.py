"""What does adapting add to a frame that comes after a pause?

Frames at a steady beat stay on the device, with a cut that is fixed and with the policy deciding before each
of them, in turns. A decision takes ten times as long as in a loop (see policy.py) when caches have been used
by others since the last one, unless it was made before the frame came.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks import reporting
from benchmarks.serving import copied, served
from edge_client.client.sync_client import EdgeClient
from edge_client.control.controller import Controller
from edge_client.control.offer import Limits
from edge_client.frames.choice import Choice
from edge_client.frames.result import Result
from edge_client.sources.paced_frames import paced
from partitioner.common.memory import keep_freed_pages
from partitioner.inputs.files import load_inputs
from partitioner.network.link import Link
from partitioner.planning.plan import Plan, plan
from partitioner.profiles.profiler import measure_profile
from protos.names import EDGE
from protos.tensors import Array

DIGITS = Path(__file__).parent.parent / "examples" / "digits"

Feeds = list[dict[str, Array]]


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Stream in turns, fixed, deciding ahead, and deciding when the frame has come."""
    keep_freed_pages()
    ways: dict[str, tuple[bool, bool]] = {
        "fixed": (False, False),
        "decided when it comes": (True, False),
        "decided ahead": (True, True),
    }
    found: dict[str, dict[str, list[float]]] = {way: {} for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        bundle = copied(DIGITS / "bundle", Path(folder))
        frames = load_inputs(DIGITS / "frames", bundle.inputs, 20)
        profile = measure_profile(bundle, budget_s=arguments.budget, feeds=frames[:8])
        known = plan(bundle, Link(5e6, 5e6, 0.03), profile, profile)
        with served(bundle.path) as address:
            for _ in range(arguments.rounds):
                for way, (adapts, ahead) in ways.items():
                    for name, seconds in _stream(
                        address, known, frames, arguments, adapts=adapts, ahead=ahead
                    ).items():
                        found[way].setdefault(name, []).extend(seconds)
    return {
        way: {name: reporting.spread(seconds) for name, seconds in kinds.items()}
        for way, kinds in found.items()
    }


def _stream(
    address: str,
    known: Plan,
    frames: Feeds,
    arguments: argparse.Namespace,
    *,
    adapts: bool,
    ahead: bool,
) -> dict[str, list[float]]:
    with EdgeClient(address, known.bundle, EDGE) as client, _timed_decisions(ahead=ahead) as took:
        client.infer(frames[0])
        if adapts:
            here = next(option for option in known.options if option.cut == EDGE)
            client.asynchronous.control.follow(known, here, "the benchmark's", Limits())
        took.clear()
        beat = paced(islice(cycle(frames), arguments.frames), arguments.fps)
        results: list[Result] = list(client.stream(iter(beat)))
    return {
        "latency_s": [result.latency_s for result in results],
        "beside_computing_s": [result.timings.wait_s for result in results],
        "decision_s": took,
    }


@contextmanager
def _timed_decisions(*, ahead: bool) -> Iterator[list[float]]:
    """Note what each decision takes of a frame's time; without `ahead` none is made before."""
    took: list[float] = []
    decide, think = Controller.next, Controller.think_ahead

    def timed(controller: Controller, arrived_at: float, in_flight: int) -> Choice:
        begun = time.perf_counter()
        choice = decide(controller, arrived_at, in_flight)
        took.append(time.perf_counter() - begun)
        return choice

    Controller.next = timed  # type: ignore[method-assign]
    if not ahead:
        Controller.think_ahead = lambda _: None  # type: ignore[method-assign, misc]
    try:
        yield took
    finally:
        Controller.next, Controller.think_ahead = decide, think  # type: ignore[method-assign]


if __name__ == "__main__":
    reporting.main(__doc__, measure, rounds=3, frames=50, fps=5.0, budget=8.0)
