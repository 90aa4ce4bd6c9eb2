"""How close does the adaptive edge come to whoever knows the trace, and does it beat every fixed cut?

The real server and the real edge, over bandwidth traces that our own relay plays. Every option that could
ever be the best runs over the same trace, then the policy. The clairvoyant takes in each second the fixed
option that was the fastest in that second: it knows what comes, and pays nothing for moving. The device is
rehearsed `slowdown` times as slow as this one (`slow`).
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks import reporting
from benchmarks.serving import copied, served
from benchmarks.synthetic_traces import read_traces
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.frames.result import Result
from edge_client.relay.player import play
from edge_client.relay.relay import Relay
from edge_client.relay.schedule import Schedule
from partitioner.bundle.bundle import Bundle
from partitioner.common.memory import keep_freed_pages
from partitioner.inputs.images import ImageFitter
from partitioner.network.link import Link
from partitioner.network.trace import Trace
from partitioner.planning.option import Option
from partitioner.planning.plan import Plan, plan
from partitioner.policy.policy import contenders
from partitioner.profiles.profiler import measure_profile
from partitioner.profiles.remote import measure_remote_profile
from partitioner.profiles.store import EDGE_PROFILE, keep_profile
from partitioner.runtime.sessions import RuntimeOptions
from protos.names import EDGE
from protos.tensors import Array

DIGITS = Path(__file__).parent.parent / "examples" / "digits"
RTT_S = 0.03
DOWN_BPS = 20e6


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Play each trace to every option that is ever the best, and to the policy."""
    keep_freed_pages()
    with tempfile.TemporaryDirectory() as name, served(DIGITS / "bundle") as address:
        bundle = copied(DIGITS / "bundle", Path(name))
        frames = _frames(bundle)
        edge = measure_profile(bundle, RuntimeOptions(), budget_s=arguments.budget)
        keep_profile(bundle, EDGE_PROFILE, edge)  # from which the client knows what frames cost
        cloud = measure_remote_profile(address, bundle, budget_s=arguments.budget)
        slower = edge.scaled(arguments.slowdown)
        known = plan(bundle, Link(5e6, DOWN_BPS, RTT_S), slower, cloud)
        rates = [1e5 * 1.3**step for step in range(24)]
        found: dict[str, Any] = {}
        for trace in read_traces(Path(arguments.traces))[: arguments.most_traces]:
            fixed = _ever_best(known, [rate for rate in rates if _reaches(trace, rate)])
            run = _Run(address, bundle, known, trace, frames, arguments.seconds, arguments.fps)
            found[trace.name] = asyncio.run(run.compare(fixed))
    ratios = [entry["adaptive_to_clairvoyant"] for entry in found.values()]
    return {
        "traces": found,
        "adaptive_to_clairvoyant": statistics.fmean(ratios),
        "bound": 1.1,
        "beats_best_fixed": sum(entry["adaptive_to_best_fixed"] < 1 for entry in found.values()),
    }


class _Run:
    """One trace, played again for every way to run."""

    def __init__(
        self,
        address: str,
        bundle: Bundle,
        known: Plan,
        trace: Trace,
        frames: list[dict[str, Array]],
        seconds: float,
        fps: float,
    ) -> None:
        self._address, self._bundle, self._known = address, bundle, known
        self._trace, self._frames = trace, frames
        self._seconds, self._period_s = min(seconds, trace.duration_s), 1 / fps

    async def compare(self, fixed: list[Option]) -> dict[str, Any]:
        """Return means over the seconds of the trace, in seconds."""
        series = {option.label: await self._play(option) for option in fixed}
        clairvoyant = [min(second) for second in zip(*series.values(), strict=True)]
        moves: dict[str, Any] = {}
        adaptive = await self._play(None, moves)
        means = {name: statistics.fmean(values) for name, values in series.items()}
        ideal, mean = statistics.fmean(clairvoyant), statistics.fmean(adaptive)
        best = min(means, key=lambda name: means[name])
        return {
            "fixed_s": means,
            "best_fixed": best,
            "clairvoyant_s": ideal,
            "adaptive_s": mean,
            "adaptive_to_clairvoyant": mean / ideal,
            "adaptive_to_best_fixed": mean / means[best],
            **moves,
        }

    async def _play(
        self, option: Option | None, moves: dict[str, Any] | None = None
    ) -> list[float]:
        async with self._client(option) as (client, relay, schedule):
            for frame in self._frames[:3]:
                await client.infer(frame)  # loads what it needs, while the link is good
            playing = asyncio.create_task(play(relay, schedule))
            found = await self._stream(client)
            playing.cancel()
            if moves is not None:
                served = Counter(f"{result.cut}/{result.codec}" for _, result in found)
                moves |= {"moves": client.control.switches, "frames": dict(served)}
                moves["probes"] = client.watch.probes  # type: ignore[union-attr]
            return list(_by_second(found, int(self._seconds)))

    async def _stream(self, client: AsyncEdgeClient) -> list[tuple[float, Result]]:
        """Send a frame at each beat, or at the next one that comes free; return when, and what came of it."""
        begun, found = time.perf_counter(), list[tuple[float, Result]]()
        beat = 0
        while (at := beat * self._period_s) < self._seconds:
            await asyncio.sleep(max(0.0, begun + at - time.perf_counter()))
            found.append((at, await client.infer(self._frames[beat % len(self._frames)])))
            beat = max(beat + 1, int((time.perf_counter() - begun) / self._period_s) + 1)
        return found

    @asynccontextmanager
    async def _client(
        self, option: Option | None
    ) -> AsyncIterator[tuple[AsyncEdgeClient, Relay, Schedule]]:
        first = Link(max(self._trace.uplink_bps_at(0.0), 1e5), DOWN_BPS, RTT_S)
        schedule = Schedule(first, self._trace)
        async with Relay("127.0.0.1:0", self._address, first) as relay:
            cut, codec = (option.cut, option.codec) if option else (EDGE, None)
            slow = self._known.edge.scale
            async with AsyncEdgeClient(
                relay.address, self._bundle, cut, codec=codec, window=1, adapt=False, slow=slow
            ) as client:
                if option is None:
                    _adapt(client, self._known.at(first))
                yield client, relay, schedule


def _adapt(client: AsyncEdgeClient, known: Plan) -> None:
    """Begin with the plan's best on the first link, as `auto` does with kept profiles."""
    from edge_client.control.offer import Limits

    client.control.follow(known, known.best, "the plan's best", Limits())


def _by_second(found: list[tuple[float, Result]], seconds: int) -> Iterator[float]:
    """Yield the mean latency of each second's frames; of the frame that lasts through it, if none begins."""
    lasting = found[0][1].latency_s
    for second in range(seconds):
        begun = [result.latency_s for at, result in found if second <= at < second + 1]
        yield statistics.fmean(begun) if begun else lasting
        lasting = begun[-1] if begun else lasting


def _ever_best(known: Plan, rates: list[float]) -> list[Option]:
    """Return the options that are the best at any of the rates."""
    best = {}
    for rate in rates:
        found = known.at(Link(rate, DOWN_BPS, RTT_S)).best
        best[found.label] = found
    kept = {option.label for option in contenders(known.options)}
    return [option for name, option in best.items() if name in kept]


def _reaches(trace: Trace, rate: float) -> bool:
    return 0.5 * min(trace.uplink_bps.values) <= rate <= 1.5 * max(trace.uplink_bps.values)


def _frames(bundle: Bundle) -> list[dict[str, Array]]:
    fitter = ImageFitter(bundle.inputs, lambda _text: None)
    paths = sorted((DIGITS / "frames").glob("*.[jp][pn]g"))[:40]
    return [fitter.read(path) for path in paths]


if __name__ == "__main__":
    reporting.main(
        __doc__, measure, traces="", most_traces=20, seconds=60.0, fps=5.0, slowdown=8.0, budget=5.0
    )
