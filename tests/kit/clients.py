"""Clients whose link, machines and cloud are what a test says, at the moment that it says."""

import asyncio
from collections.abc import Callable
from time import perf_counter

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.control.cloud_watch import CloudWatch
from edge_client.control.offer import Limits
from edge_client.frames.stages import Stages
from partitioner.estimators.circuit_breaker import Breaker
from partitioner.estimators.device_load import DeviceLoad
from partitioner.estimators.experience import Experience
from partitioner.estimators.load_estimator import LoadEstimator
from partitioner.estimators.transfer import Transfer
from partitioner.network.link import Link
from partitioner.planning.plan import Plan
from protos.errors import UnreachableError


class AsProfiled(LoadEstimator):
    """A machine that is always as fast as its profile."""

    def add(self, measured_s: float, profiled_s: float, now_s: float) -> None:
        pass


class DeviceAsProfiled(DeviceLoad):
    """The device, when it is always as fast as its profile."""

    def add(self, measured_s: float, profiled_s: float, now_s: float, *, beside: bool) -> None:
        pass


class NoExperience(Experience):
    """Learns of no frame what it took, and of no move what it brought."""

    def moved(self, *_: object) -> None:
        pass

    def done(
        self, label: str, arrived_at: float, done_at: float, expected_s: float, computing_s: float
    ) -> None:
        pass


def breaker_of(client: AsyncEdgeClient) -> Breaker:
    """The breaker of a client: to trip it, and to see what the client alone does not say."""
    return client._common.breaker


def stages_of(client: AsyncEdgeClient) -> Stages:
    """The stages that a client holds."""
    return client.version.stages


async def overtaken_end(client: AsyncEdgeClient) -> None:
    """Wait until the requests whose frames were finished without them have ended, too."""
    await asyncio.gather(*client.version.completion._overtaken)


def lose_cloud(client: AsyncEdgeClient, now_s: float) -> None:
    """Let the client find its cloud gone."""
    breaker_of(client).trip(UnreachableError("gone."), now_s)


def stop_watching(client: AsyncEdgeClient) -> CloudWatch:
    """Return the client's watch, which looks for the cloud by itself no more."""
    assert client.watch is not None
    assert client.version.watching is not None
    client.version.watching.cancel()
    return client.watch


def follow(client: AsyncEdgeClient, planned: Plan, *, watched: bool = False) -> None:
    """Let the policy choose from `planned`, on a link and machines that only the test changes.

    `watched`: nothing plays the link, so that it is probed as ever.
    """
    if client.version.watching is not None and not watched:
        stop_watching(client)  # nothing is to be probed but when the test says so
    # Both machines are this one; what they really take must not be learnt.
    learned = client.control.learned
    learned._edge, learned._cloud = DeviceAsProfiled(), AsProfiled()
    learned.experience = NoExperience()
    client.control.follow(planned, planned.best, "the plan's best", Limits())


def crossings(uplink_bps: float, rtt_s: float = 0.0005) -> list[Transfer]:
    """What messages of several sizes would have shown of a link, one after the other, the last just now."""
    link = Link(uplink_bps, uplink_bps, rtt_s)
    sizes = (1_000.0, 30_000.0, 8_000.0, 60_000.0) * 3
    took_s = [link.predict_s(size, 100.0) for size in sizes]
    begun_at, found = perf_counter() - sum(took_s), []
    for size, seconds in zip(sizes, took_s, strict=True):
        found.append(Transfer(size, 100.0, begun_at, begun_at + seconds, 0.0))
        begun_at += seconds
    return found


def see(client: AsyncEdgeClient, uplink_bps: float) -> None:
    """Let the client see a link of this uplink."""
    for seen in crossings(uplink_bps):
        client.control.learned._link._free_at = 0.0  # type: ignore[union-attr]  # each alone on the link
        client.control.learned.crossed(seen)


async def loaded(client: AsyncEdgeClient, cut: str) -> None:
    """Let the background load what the next cut needs."""
    await asyncio.to_thread(stages_of(client).warm, cut)


def set_clock(watch: CloudWatch, clock: Callable[[], float]) -> None:
    """Let a watch, and all that it probes with, tell the time by `clock`."""
    watch._clock = watch._retry._clock = watch._probes._clock = clock


async def look_again(client: AsyncEdgeClient) -> None:
    """Let the client look for the cloud as it does when some time has passed."""
    watch = stop_watching(client)  # it would look by itself in a moment: only one is to look
    set_clock(watch, lambda: perf_counter() + 10)
    await watch.tick()
