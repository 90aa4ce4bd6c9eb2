"""A real edge over a relay that plays a trace, and the simulator's run of the same."""

import asyncio
import statistics
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, islice

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.control.offer import Limits
from edge_client.frames.result import Result
from edge_client.relay.player import play
from edge_client.relay.relay import Relay
from edge_client.relay.schedule import Schedule
from edge_client.sources.paced_frames import paced
from partitioner.bundle.bundle import Bundle
from partitioner.network.trace import Trace
from partitioner.planning.plan import Plan
from partitioner.policy.hedges import HedgeBudget, Hedging
from partitioner.policy.settings import PolicySettings
from partitioner.simulation.adaptive import Adaptive
from partitioner.simulation.demand import Demand, demands_of
from partitioner.simulation.pipeline import Setup
from partitioner.simulation.replay import Run, run_policy
from protos.names import EDGE
from protos.tensors import Array
from tests.kit.clients import stages_of

WINDOW, TIMEOUT_S = 4, 10.0

Taken = dict[str, tuple[float, float, float]]
"""Of each option, by its label: seconds of head and encoding, of the tail there, and of the tail here."""


def label_of(result: Result) -> str:
    """Return what an option is called of which a result came."""
    return EDGE if result.cut == EDGE else f"{result.cut}/{result.codec}"


async def play_really(
    address: str,
    bundle: Bundle,
    made: Plan,
    trace: Trace,
    frames: list[dict[str, Array]],
    fps: float,
) -> tuple[list[Result], Taken]:
    """Send frames through the relay to the server at `address` while the trace is played.

    The plan is for the link at the trace's begin, and its profile says how slow the device is. Returns the
    results, and what the machines took of each option.
    """
    first = made.link
    async with (
        Relay("127.0.0.1:0", address, first) as relay,
        AsyncEdgeClient(
            relay.address, bundle, EDGE, adapt=False, slow=made.edge.scale, window=WINDOW,
            timeout_s=TIMEOUT_S, hedge="auto",
        ) as client,
    ):  # fmt: skip
        rehearsed = await _rehearse(client, made, frames[0])
        completion = client.pipeline._completion
        completion._hedges._budget = HedgeBudget(Hedging())  # no frame has been sent yet
        client.control.follow(made, made.best, "the best of the plan", Limits())
        playing = asyncio.create_task(play(relay, Schedule(first, trace)))
        sent = paced(islice(cycle(frames), round(trace.duration_s * fps)), fps)
        results = [result async for result in client.stream(_iterator(sent))]
        playing.cancel()
        return results, _taken(client, made, rehearsed, results)


async def _rehearse(client: AsyncEdgeClient, made: Plan, frame: dict[str, Array]) -> list[Result]:
    """Open all that the plan's options need; return results of each."""
    results = []
    for option in made.options:
        client.set_option(option.cut, option.codec if option.upload_bytes else None)
        for _ in range(4):
            if option.cut != EDGE:
                await asyncio.to_thread(stages_of(client).rehearse_tail, option.cut)
            results.append(await client.infer(frame))
    return results


def _taken(
    client: AsyncEdgeClient, made: Plan, rehearsed: list[Result], results: list[Result]
) -> Taken:
    """Return what each option took, in the run where it was used there."""
    taken: Taken = {}
    for option in made.options:
        there = "edge" if option.cut == EDGE else "cloud"
        used = [r for r in results if label_of(r) == option.label and r.served_by == there]
        times = [r.timings for r in used or rehearsed if label_of(r) == option.label]
        taken[option.label] = (
            statistics.median(one.edge_s for one in times),
            statistics.median(one.cloud_s for one in times),
            stages_of(client).tail_s(option.cut) or 0.0,
        )
    return taken


def _iterator(frames: Iterator[dict[str, Array]]) -> Iterator[dict[str, Array]]:
    yield from frames


def play_in_simulator(made: Plan, trace: Trace, taken: Taken, fps: float, frames: int) -> Run:
    """Send as many frames over the same trace in the simulator: the policy believes the same plan."""
    first = made.link
    filled = trace.filled(first.rtt_s, first.downlink_bps)
    setup = Setup(filled, 1 / fps, WINDOW, TIMEOUT_S)

    def really(demand: Demand) -> Demand:
        edge_s, cloud_s, finish_s = taken[demand.label]
        cloud_s = cloud_s if demand.crosses else 0.0
        return replace(demand, edge_s=edge_s, cloud_s=cloud_s, finish_s=finish_s)

    demands = {label: really(demand) for label, demand in demands_of(made).items()}
    policy = Adaptive(made, demands, setup, first, PolicySettings(window=WINDOW))
    return run_policy(setup, policy, frames)
