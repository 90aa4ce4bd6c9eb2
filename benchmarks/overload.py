"""What becomes of a server that is asked for more than it can, at 1, 2 and 10 times its capacity?

An open loop: requests come when they come, however the earlier ones fare. Server and clients have a core
each; the capacity is found first, in the same run, with as many requests in flight as keep the worker busy.

Three kinds of clients: `edges` are devices with a stream each that do as they are told: after a refusal they
finish frames by themselves until the push-back is over; `greedy` ones ignore that; `unary` ones make calls,
as standard clients do, on one connection and with a deadline.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import reporting
from benchmarks.children import Child
from benchmarks.closed_loops import by_stream, event_loop
from benchmarks.convolutions import lasting
from benchmarks.open_loops import Seen, edges, greedy, unary
from benchmarks.serving import apart, bound, make_bundle, watched
from edge_client.cloud.stream import METHOD
from partitioner.bundle.bundle import Bundle
from partitioner.common.memory import keep_freed_pages
from partitioner.runtime.sessions import random_feeds
from protos.names import CLOUD
from protos.wire.framing import encode_request
from protos.wire.messages import pack_request

CLIENTS = {"edges": edges, "greedy": greedy, "unary": unary}
_WARM_UP_S = 2.0
"""Of every load, not counted: what comes before the queue has found its length."""


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Start a server of one worker, find its capacity, and load it with each kind of client."""
    keep_freed_pages()
    here, there = apart()
    flags = ("--workers", "1", "--preload", CLOUD, *arguments.flags.split())
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, bound(here), event_loop() as runner:
        folder = Path(name)
        (folder / "bundles").mkdir()
        bundle = make_bundle(lasting(arguments.tail_s, folder), folder / "bundles", "graph")
        for kind in arguments.clients.split():
            with watched(folder / "bundles", *flags, cores=there) as (address, server):
                load = _Load(address, server, _message(bundle), arguments)
                results[kind] = runner.run(load.run(kind))
    return results


class _Load:
    """The loads of one kind of client on one server."""

    def __init__(
        self, address: str, server: Child, message: bytes, arguments: argparse.Namespace
    ) -> None:
        self._address, self._server, self._message = address, server, message
        self._arguments = arguments

    async def run(self, kind: str) -> dict[str, Any]:
        """Return what came of each load, relative to the most that was served in any."""
        capacity_rps, alone_s = await self._capacity()
        found = {
            f"{times:g}x": await self._at(kind, times * capacity_rps)
            for times in map(float, self._arguments.times.split())
        }
        peak_rps = max(capacity_rps, *(each["goodput_rps"] for each in found.values()))
        for each in found.values():
            each["goodput_to_peak"] = each["goodput_rps"] / peak_rps
            if each["served_s"]:
                each["p99_to_unloaded"] = each["served_s"]["p99"] / alone_s["p99"]
        return {"capacity_rps": capacity_rps, "unloaded_s": alone_s, **found}

    async def _capacity(self) -> tuple[float, dict[str, float]]:
        ask = (self._address, METHOD, self._message)
        alone_s = await by_stream(*ask, 1, 300)
        rates_rps = []
        for _ in range(3):
            begun_at = time.perf_counter()
            await by_stream(*ask, 8, 400)
            rates_rps.append(400 / (time.perf_counter() - begun_at))
        return statistics.median(rates_rps), reporting.spread(alone_s)

    async def _at(self, kind: str, rate_rps: float) -> dict[str, Any]:
        seconds = self._arguments.seconds + _WARM_UP_S
        gaps_s = np.random.default_rng(1).exponential(1 / rate_rps, int(2 * seconds * rate_rps))
        arrivals_s = np.cumsum(gaps_s)
        resident_bytes: list[int] = []
        watching = asyncio.create_task(self._watch(resident_bytes))
        before_s, begun_at = self._server.cpu_s(), time.perf_counter()
        ask = CLIENTS[kind](self._address, self._message, self._arguments.devices)
        seen = await ask(arrivals_s[arrivals_s < seconds].tolist())
        cores = (self._server.cpu_s() - before_s) / (time.perf_counter() - begun_at)
        watching.cancel()
        return {
            "offered_rps": rate_rps,
            **_figures(seen, seconds),
            "server_cores": cores,
            "resident_MB": [round(each / 1e6, 1) for each in resident_bytes],
        }

    async def _watch(self, resident_bytes: list[int]) -> None:
        while True:
            resident_bytes.append(self._server.resident_bytes())
            await asyncio.sleep(self._arguments.seconds / 8)


def _figures(seen: list[Seen], seconds: float) -> dict[str, Any]:
    counted = [each for each in seen if each.due_s >= _WARM_UP_S]
    # What is served counts where it ends, so that what waits at the end is no goodput.
    served = [
        each
        for each in seen
        if each.outcome == "OK" and _WARM_UP_S <= each.due_s + each.took_s < seconds
    ]
    refused = [each.took_s for each in counted if each.outcome == "RESOURCE_EXHAUSTED"]
    in_time = [each.took_s for each in counted if each.outcome == "OK"]
    lags = [each.lag_s for each in counted]
    return {
        "goodput_rps": len(served) / (seconds - _WARM_UP_S),
        "served_s": reporting.spread(in_time) if in_time else None,
        "refused_s": reporting.spread(refused) if refused else None,
        "outcomes": dict(Counter(each.outcome for each in counted)),
        "generator_lag_s": reporting.spread(lags),
    }


def _message(bundle: Bundle) -> bytes:
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0))
    header, buffers = pack_request(bundle.name, "", feeds, bundle.inputs)
    return encode_request(header, buffers)


if __name__ == "__main__":
    reporting.main(
        __doc__,
        measure,
        seconds=8.0,
        tail_s=0.005,
        devices=16,
        times="1 2 10",
        clients="edges greedy unary",
        flags="",
    )
