"""The adaptive policy in a simulation: the running edge's own estimators and `decide`."""

import heapq
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count

from partitioner.estimators.link_estimator import Transfer
from partitioner.exits.ladder import Rung
from partitioner.network.link import Link
from partitioner.planning.option import Option
from partitioner.planning.plan import Plan
from partitioner.policy.decision import Decision
from partitioner.policy.estimates import PROBE_EVERY_S, PROBE_IDLE_S, PROBE_LIMIT_S, Estimates
from partitioner.policy.exit_thresholds import RungDecision, RungPlan, decide_bounded
from partitioner.policy.policy import contenders
from partitioner.policy.score import further_axes
from partitioner.policy.settings import PolicySettings
from partitioner.simulation.demand import Demand
from partitioner.simulation.exit_draws import Exiting
from partitioner.simulation.pipeline import Passage, Setup

ADAPTIVE = "adaptive"


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
        self._probed_at = self._asked_at = self._freed_at = 0.0
        further = further_axes(plan, settings.objective)
        ladder = exiting.ladder if exiting else (Rung(),)
        self._rungs = tuple(_rung_plan(rung, plan, further) for rung in ladder)
        self._exiting, self._frames = exiting, count()
        self._profiled = {option.label: option for option in plan.options}
        self._demands = demands
        self._settings = settings
        self._learned = Estimates()
        self._learned.begin(link)
        self._learned.pace(setup.device_paced)
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
        waited = self._learned.device_paced and arrived_at <= self._freed_at
        self._learned.arrived(arrived_at, held=full or waited)
        seen = self._learned.conditions(begun_at)
        found = decide_bounded(self._rungs, seen, self._bounded, begun_at, self._settings)
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
        while (at := max(self._probed_at, self._learned.crossed_at) + PROBE_EVERY_S) <= until:
            if any(passage.demand.crosses for _, _, passage in self._under_way):
                return
            large = self._learned.probe_bytes(self._largest_bytes, at)
            self._probed_at = self._transfer(large, self._transfer(1.0, at))

    def _transfer(self, size_bytes: float, at: float) -> float:
        """Learn from a probe of that size, and return when it ended."""
        uploaded_at = self._uplink.reaches(8 * size_bytes, at)
        if uploaded_at - at > PROBE_LIMIT_S:
            self._learned.lost(size_bytes, PROBE_LIMIT_S)
            return at + PROBE_LIMIT_S
        done_at = self._downlink.reaches(8.0, uploaded_at) + self._rtt.at(uploaded_at)
        self._learned.crossed(Transfer(size_bytes, 1.0, at, done_at, 0.0))
        return done_at

    def _learn(self, passage: Passage) -> None:
        demand, at = passage.demand, passage.done_at
        profiled = self._profiled[demand.label]
        self._learned.ran_on_device(demand.edge_s, profiled.edge_s + profiled.exit_s, at)
        if passage.timed_out:
            self._learned.lost(demand.upload_bytes, passage.network_s)
        elif passage.served_by == "cloud":
            server_s = passage.queue_s + passage.cloud_s
            sizes = demand.upload_bytes, demand.download_bytes
            seen = Transfer(*sizes, passage.sent_at, at, server_s)
            self._learned.served(seen, passage.queue_s, passage.cloud_s, profiled.cloud_s)


def _rung_plan(rung: Rung, plan: Plan, further: Callable[[Option], tuple[float, ...]]) -> RungPlan:
    asked = plan.with_exits(rung.costs) if rung.costs else plan
    return RungPlan(rung, replace(asked, options=contenders(asked.options, further)))
