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
from partitioner.policy.conditions import Conditions
from partitioner.policy.decision import Decision
from partitioner.policy.estimates import PROBE_EVERY_S, PROBE_IDLE_S, PROBE_LIMIT_S, Estimates
from partitioner.policy.exit_thresholds import RungDecision, RungPlan, decide_bounded
from partitioner.policy.hedging import HedgeBudget, Hedging, answer_later
from partitioner.policy.policy import contenders
from partitioner.policy.score import further_axes
from partitioner.policy.settings import PolicySettings
from partitioner.simulation.demand import Demand, demands_of
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
        hedging: Hedging | None = None,
    ) -> None:
        self._hedging = hedging or Hedging()
        self._budget = HedgeBudget(self._hedging)
        self._believed = demands_of(plan)
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
        self._timeout_s = setup.timeout_s
        self._lessons: list[tuple[float, int, _Learn, Passage]] = []
        self._calls: dict[int, Passage] = {}
        self._racing = 0
        self._results: list[float] = []
        self._numbers = count()
        self._bounded: RungDecision | None = None

    @property
    def decision(self) -> Decision | None:
        """The last one."""
        return self._bounded.decision if self._bounded else None

    def choose(self, arrived_at: float, begun_at: float) -> Demand:
        """Return the option of the next frame."""
        while self._lessons and self._lessons[0][0] <= begun_at:
            at_s, _, learn, passage = heapq.heappop(self._lessons)
            learn(passage, at_s)
        while self._results and self._results[0] <= begun_at:
            heapq.heappop(self._results)
        self._probe_until(begun_at)
        self._asked_at = begun_at
        full = len(self._results) + self._racing + 1 >= self._settings.window
        waited = self._learned.device_paced and arrived_at <= self._freed_at
        self._learned.arrived(arrived_at, held=full or waited)
        seen = self._learned.conditions(begun_at)
        found = decide_bounded(self._rungs, seen, self._bounded, begun_at, self._settings)
        self._bounded = found
        option = found.decision.option
        demand, frame = self._demands[option.label], next(self._frames)
        if self._exiting:
            demand = self._exiting.asked(demand, frame, found.rung)
        if not demand.crosses:
            return demand
        self._budget.frame()
        return replace(demand, hedge_after_s=self._hedge_after_s(option, seen, begun_at))

    def sent(self, passage: Passage) -> None:
        """Keep what a frame shows until it shows: of a race each side, whoever wins."""
        demand = passage.demand
        self._freed_at = passage.begun_at + demand.edge_s
        self._racing += demand.hedges
        self._later(self._freed_at if demand.hedges else passage.done_at, self._learn_load, passage)
        if demand.crosses:
            given_up_at = self._freed_at + self._timeout_s if demand.hedges else passage.done_at
            self._calls[id(passage)] = passage
            shown_at = given_up_at if passage.timed_out else passage.answered_at
            self._later(shown_at, self._learn_link, passage)

    def note(self, frame: int, passage: Passage) -> None:
        """Keep when a frame's result is there."""
        del frame
        self._racing -= passage.demand.hedges
        heapq.heappush(self._results, passage.done_at)

    def may_hedge(self) -> bool:
        """Hedge as often as the edge does."""
        return self._budget.take()

    def _hedge_after_s(self, option: Option, seen: Conditions, begun_at: float) -> float | None:
        """Return how long after its message is handed over a frame is hedged; None: not at all."""
        believed = self._believed[option.label]
        handed_at = begun_at + believed.edge_s * seen.edge_load
        sent_at = [passage.sent_at for passage in self._calls.values()]
        carried = seen.link.link.uplink_bps / 8 * max(0.0, handed_at - min(sent_at, default=0.0))
        sent = sum(passage.demand.upload_bytes for passage in self._calls.values())
        later = answer_later(option, seen, max(0.0, sent - carried))
        return self._hedging.after_s(later, believed.finish_s * seen.edge_load)

    def _later(self, at_s: float, learn: "_Learn", passage: Passage) -> None:
        heapq.heappush(self._lessons, (at_s, next(self._numbers), learn, passage))

    def _probe_until(self, now_s: float) -> None:
        """Probe as often as was due before `now_s`, if no frame was crossing then."""
        until = min(now_s, self._asked_at + PROBE_IDLE_S)
        while (at := max(self._probed_at, self._learned.crossed_at) + PROBE_EVERY_S) <= until:
            if self._calls:
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

    def _learn_load(self, passage: Passage, at_s: float) -> None:
        profiled = self._profiled[passage.demand.label]
        self._learned.ran_on_device(passage.demand.edge_s, profiled.edge_s + profiled.exit_s, at_s)

    def _learn_link(self, passage: Passage, at_s: float) -> None:
        demand = passage.demand
        del self._calls[id(passage)]
        if passage.timed_out:
            self._learned.lost(demand.upload_bytes, passage.network_s)
            return
        server_s = passage.queue_s + passage.cloud_s
        seen = Transfer(demand.upload_bytes, demand.download_bytes, passage.sent_at, at_s, server_s)
        profiled_s = self._profiled[demand.label].cloud_s
        self._learned.served(seen, passage.queue_s, passage.cloud_s, profiled_s)


_Learn = Callable[[Passage, float], None]


def _rung_plan(rung: Rung, plan: Plan, further: Callable[[Option], tuple[float, ...]]) -> RungPlan:
    asked = plan.with_exits(rung.costs) if rung.costs else plan
    return RungPlan(rung, replace(asked, options=contenders(asked.options, further)))
