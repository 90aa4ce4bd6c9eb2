"""The adaptive policy in a simulation: the running edge's own estimators and `decide`."""

import heapq
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count

from partitioner.common.defaults import PROBE_EVERY_S, PROBE_IDLE_S
from partitioner.exits.ladder import Rung
from partitioner.network.link import Link
from partitioner.network.link_estimator import LinkEstimator, Transfer
from partitioner.planning.option import Option
from partitioner.planning.plan import Plan
from partitioner.policy.conditions import Conditions
from partitioner.policy.decision import Decision
from partitioner.policy.exit_thresholds import RungDecision, RungPlan, decide_bounded
from partitioner.policy.load_estimator import ArrivalRate, FadingMean, LoadEstimator
from partitioner.policy.policy import contenders
from partitioner.policy.score import further_axes
from partitioner.policy.settings import PolicySettings
from partitioner.simulation.demand import Demand
from partitioner.simulation.exit_draws import Exiting
from partitioner.simulation.pipeline import Passage, Setup

ADAPTIVE = "adaptive"

_PROBE_LIMIT_S = 3.0
_PROBE_BYTES = 32 << 10
_PROBE_S = 0.2
"""A probe carries at most so much, and takes the uplink for about so long."""


class Adaptive:
    """Learns from each frame when its result is there, and decides when the next head begins.

    `plan` is what it believes of the machines, `demands` (by label) what they really take. It starts
    from `link`, as from a probe. While no frame crosses it probes the link of `setup`; the probes are
    taken to delay no frame.
    """

    name = ADAPTIVE

    def __init__(
        self,
        plan: Plan,
        demands: Mapping[str, Demand],
        setup: Setup,
        link: Link,
        settings: PolicySettings,
        exiting: Exiting | None = None,
    ) -> None:
        self._uplink, self._downlink, self._rtt = setup.paths
        self._largest_bytes = max(option.upload_bytes for option in plan.options)
        self._known_at = self._asked_at = self._freed_at = 0.0
        self._device_paced = setup.device_paced
        further = further_axes(plan, settings.objective)
        ladder = exiting.ladder if exiting else (Rung(),)
        self._steps = tuple(_step(rung, plan, further) for rung in ladder)
        self._exiting, self._frames = exiting, count()
        self._profiled = {option.label: option for option in plan.options}
        self._demands = demands
        self._settings = settings
        self._link = LinkEstimator(link)
        self._edge_load, self._cloud_load = LoadEstimator(), LoadEstimator()
        self._queue, self._arrivals = FadingMean(), ArrivalRate()
        self._under_way: list[tuple[float, int, Passage]] = []
        self._numbers = count()
        self._bounded: RungDecision | None = None

    @property
    def decision(self) -> Decision | None:
        """The last one."""
        return self._bounded.decision if self._bounded else None

    def choose(self, arrived_at: float, begun_at: float) -> Demand:
        """Return the option of the next frame."""
        while self._under_way and self._under_way[0][0] <= begun_at:
            self._learn(heapq.heappop(self._under_way)[2])
        self._probe_until(begun_at)
        self._asked_at = begun_at
        full = len(self._under_way) + 1 >= self._settings.window
        held = self._device_paced and arrived_at <= self._freed_at
        self._arrivals.add(arrived_at, held=full or held)
        seen = Conditions(
            self._link.estimate(begun_at),
            self._edge_load.load(begun_at),
            self._cloud_load.load(begun_at),
            self._queue.value(begun_at),
            frame_period_s=self._arrivals.period_s,
            device_paced=self._device_paced,
        )
        found = decide_bounded(self._steps, seen, self._bounded, begun_at, self._settings)
        self._bounded = found
        demand, frame = self._demands[found.decision.option.label], next(self._frames)
        return self._exiting.asked(demand, frame, found.rung) if self._exiting else demand

    def note(self, passage: Passage) -> None:
        """Keep a frame's way until its result is there."""
        self._freed_at = passage.begun_at + passage.demand.edge_s
        heapq.heappush(self._under_way, (passage.done_at, next(self._numbers), passage))

    def _probe_until(self, now_s: float) -> None:
        """Probe as often as was due before `now_s`, if no frame was crossing then."""
        until = min(now_s, self._asked_at + PROBE_IDLE_S)
        while (at := self._known_at + PROBE_EVERY_S) <= until:
            if any(passage.demand.crosses for _, _, passage in self._under_way):
                return
            share = _PROBE_S * self._link.estimate(at).link.uplink_bps / 8
            large = min(_PROBE_BYTES, max(1024.0, share), self._largest_bytes)
            self._known_at = self._transfer(large, self._transfer(1.0, at))

    def _transfer(self, size_bytes: float, at: float) -> float:
        """Learn from a probe of that size, and return when it ended."""
        uploaded_at = self._uplink.reaches(8 * size_bytes, at)
        if uploaded_at - at > _PROBE_LIMIT_S:
            self._link.at_least(size_bytes, _PROBE_LIMIT_S)
            return at + _PROBE_LIMIT_S
        done_at = self._downlink.reaches(8.0, uploaded_at) + self._rtt.at(uploaded_at)
        self._link.add(Transfer(size_bytes, 1.0, at, done_at, 0.0))
        return done_at

    def _learn(self, passage: Passage) -> None:
        demand, at = passage.demand, passage.done_at
        profiled = self._profiled[demand.label]
        self._edge_load.add(demand.edge_s, profiled.edge_s + profiled.exit_s, at)
        if passage.timed_out:
            self._link.at_least(demand.upload_bytes, passage.network_s)
        elif passage.served_by == "cloud":
            self._known_at = max(self._known_at, at)
            self._cloud_load.add(passage.cloud_s, profiled.cloud_s, at)
            self._queue.add(passage.queue_s, at)
            server_s = passage.queue_s + passage.cloud_s
            self._link.add(
                Transfer(
                    demand.upload_bytes, demand.download_bytes, passage.sent_at, at, server_s
                )
            )  # fmt: skip


def _step(rung: Rung, plan: Plan, further: Callable[[Option], tuple[float, ...]]) -> RungPlan:
    asked = plan.with_exits(rung.costs) if rung.costs else plan
    return RungPlan(rung, replace(asked, options=contenders(asked.options, further)))
