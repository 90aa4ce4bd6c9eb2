"""The adaptive policy in a simulation: the running edge's own estimators and `decide`."""

import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import count

from partitioner.estimators.circuit_breaker import Breaker, Circuit
from partitioner.estimators.transfer import Transfer
from partitioner.exits.ladder import Rung
from partitioner.network.link import Link
from partitioner.planning.option import Option
from partitioner.planning.plan import Plan
from partitioner.policy.conditions import Conditions
from partitioner.policy.decision import Decision
from partitioner.policy.estimates import Estimates
from partitioner.policy.exit_thresholds import RungDecision, RungPlan, decide_bounded
from partitioner.policy.hedges import (
    HedgeBudget,
    answer_later,
    expected_answer_s,
    overdue_s,
    usually_later,
)
from partitioner.policy.policy import contenders, probe_to_send
from partitioner.policy.score import further_axes
from partitioner.policy.settings import PolicySettings
from partitioner.simulation.demand import Demand, demands_of
from partitioner.simulation.exit_draws import Exiting
from partitioner.simulation.pipeline import Passage, Setup
from partitioner.simulation.replay import Policy
from partitioner.simulation.watch import Seen, Watch
from protos.errors import LateError, UnreachableError
from protos.names import EDGE

ADAPTIVE = "adaptive"


class Adaptive(Policy):
    """Learns from each frame when its result is there, and decides when the next head begins.

    `plan` is what it believes of the machines, `demands` (by label) what they really take. It starts
    from `link`, as from a probe. As on the edge a watch looks after the cloud, and a circuit breaker keeps
    frames from one that is away.
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
        self._budget = HedgeBudget(settings.hedging)
        self._believed = demands_of(plan)
        self._largest_bytes = max(option.upload_bytes for option in plan.options)
        self._asked_at = self._freed_at = 0.0
        further = further_axes(plan, settings.objective)
        ladder = exiting.ladder if exiting else (Rung(),)
        self._rungs = tuple(_rung_plan(rung, plan, further) for rung in ladder)
        self._first = _first(self._rungs[0].plan, plan.at(link), settings)
        self._exiting, self._frames = exiting, count()
        self._profiled = {option.label: option for option in plan.options}
        self._demands = demands
        self._settings = settings
        self._learned = Estimates()
        self._learned.begin(link)
        self._learned.pace(setup.device_paced)
        self._timeout_s = setup.timeout_s
        self._lessons: list[tuple[float, int, _Learn, int, Passage]] = []
        self._calls: dict[int, Passage] = {}
        self._ended: dict[int, float] = {}
        """When frames were done that still have a call, or may have."""
        self._learned.cloud_workers = setup.workers
        self._done: dict[int, float] = {}
        self._handed = [-math.inf] * settings.window
        """When room came for each frame: at first there is some, then as results are handed on in order."""
        self._chosen = 0
        self._beside = False
        self._numbers = count()
        self._breaker = Breaker()
        self._watch = Watch(
            setup, self._learned, self._breaker, self._probe_bytes, self._worth_probing, self._seen
        )
        self._broken_at: float | None = None
        self._bounded: RungDecision | None = None

    @property
    def decision(self) -> Decision | None:
        """The last one."""
        return self._bounded.decision if self._bounded else None

    @property
    def probe_bytes(self) -> int:
        """What probes have sent so far, with their framing."""
        return self._watch.probe_bytes

    def choose(self, arrived_at: float, begun_at: float) -> Demand:
        """Return the option of the next frame."""
        self._go_on(begun_at)
        self._asked_at = begun_at
        waited = self._learned.device_paced and arrived_at <= self._freed_at
        room_at = self._handed[self._chosen] if self._chosen < len(self._handed) else -math.inf
        self._learned.arrived(arrived_at, self._freed_at if waited else room_at)
        self._chosen += 1
        reachable = self._breaker.circuit is not Circuit.OPEN
        seen = self._learned.conditions(begun_at, reachable=reachable)
        if not reachable:
            seen = replace(seen, cloud_late=self._breaker.answers_late)
        before = self._bounded or self._begun(seen, begun_at)
        found = decide_bounded(self._rungs, seen, before, begun_at, self._settings)
        self._bounded, self._beside = found, bool(self._calls)
        self._learned.decided(found.decision, begun_at)
        if self._breaker.is_trying:  # the other frames wait for what comes of it elsewhere
            away = replace(seen, cloud_reachable=False)
            found = decide_bounded(self._rungs, away, None, begun_at, self._settings)
        return self._asked(found, seen, begun_at)

    def _begun(self, seen: Conditions, now_s: float) -> RungDecision:
        """Return the decision that it begins with, as the edge does: the best of the plan for its link."""
        first = self._first
        decision = Decision(first, "the best of the plan", first.total_s, seen, now_s)
        return RungDecision(decision, rung=self._rungs[0].rung)

    def _asked(self, found: RungDecision, seen: Conditions, begun_at: float) -> Demand:
        """Return what a frame asks by a decision, once exit and breaker have had their say."""
        option = found.decision.option
        demand, frame = self._demands[option.label], next(self._frames)
        if self._exiting:
            demand = self._exiting.asked(demand, frame, found.rung)
        if not demand.crosses:
            return demand
        overtaken = sum(self._ended.get(each, math.inf) <= begun_at for each in self._calls)
        if overtaken >= self._settings.window or not self._breaker.admit():
            return _refused(demand)
        self._budget.frame()
        after_s = self._hedge_after_s(option, seen, begun_at)
        return replace(demand, hedge_after_s=after_s, look_bytes=found.decision.look_bytes)

    def sent(self, frame: int, passage: Passage) -> None:
        """Keep what a frame shows until it shows: of a race each side, whoever wins."""
        demand = passage.demand
        self._freed_at = handed_at = passage.begun_at + demand.edge_s
        learn = partial(self._learn_load, beside=self._beside)
        self._later(handed_at, learn, frame, passage)
        if demand.crosses:
            given_up_at = handed_at + self._timeout_s
            self._later(handed_at, self._call, frame, passage)
            shown_at = given_up_at if passage.timed_out else passage.answered_at
            self._later(shown_at, self._learn_link, frame, passage)

    def note(self, frame: int, passage: Passage) -> None:
        """Keep when a frame's result is there."""
        if passage.demand.label == EDGE:
            self._later(passage.done_at, self._learn_took, frame, passage)
        self._done[frame] = self._ended[frame] = passage.done_at
        while (
            done_at := self._done.pop(len(self._handed) - self._settings.window, None)
        ) is not None:
            self._handed.append(max(done_at, self._handed[-1]))

    def may_hedge(self) -> bool:
        """Hedge as often as the edge does."""
        return self._budget.take()

    def broken_off(self, until_s: float) -> float | None:
        """Return when all calls in flight broke off, if they did until then and were not told to have yet."""
        if self._broken_at is None:
            self._go_on(until_s)
        at_s, self._broken_at = self._broken_at, None
        return at_s

    def _hedge_after_s(self, option: Option, seen: Conditions, begun_at: float) -> float:
        """Return how long after its message is handed over a frame is hedged; infinite: not at all."""
        believed = self._believed[option.label]
        if believed.fallback == "none":
            return math.inf
        handed_at = begun_at + believed.edge_s * seen.edge_load
        sent_at = [passage.sent_at for passage in self._calls.values()]
        carried = seen.link.link.uplink_bps / 8 * max(0.0, handed_at - min(sent_at, default=0.0))
        sent = sum(passage.demand.upload_bytes for passage in self._calls.values())
        ahead_bytes = max(0.0, sent - carried)
        finish_s = self._demands[option.label].finish_s  # which the device knows by its own runs
        if believed.fallback == "exit":
            finish_s = overdue_s(expected_answer_s(option, seen))
        later, usual = answer_later(option, seen, ahead_bytes), usually_later(option, seen)
        after_s = self._settings.hedging.after_s(later, finish_s, usual)
        return math.inf if after_s is None else after_s

    def _go_on(self, until_s: float) -> None:
        """Learn what shows until then, and look after the cloud, until calls break off."""
        while self._broken_at is None:
            shown_at = self._lessons[0][0] if self._lessons else math.inf
            if min(shown_at, self._watch.next_at) > until_s:
                break
            if shown_at <= self._watch.next_at:
                at_s, _, learn, frame, passage = heapq.heappop(self._lessons)
                learn(frame, passage, at_s)
            else:
                at_s = self._watch.next_at
                if self._watch.step() and self._calls:
                    self._break_off(at_s)

    def _break_off(self, at_s: float) -> None:
        self._broken_at = at_s
        calls, self._calls = self._calls, {}
        for frame, passage in calls.items():
            self._learned.settled(frame)
            self._breaker.failed(_broke(), passage.begun_at + passage.demand.edge_s, at_s)

    def _probe_bytes(self) -> int:
        return self._learned.probe_bytes(self._largest_bytes)

    def _worth_probing(self, at_s: float) -> int:
        """Return the bytes of a look at the link that is worth them; 0: none is."""
        if (bounded := self._bounded) is None:
            return 0
        seen, plan = self._learned.conditions(at_s), self._rungs[bounded.place].plan
        size, decision = probe_to_send(plan, seen, bounded.decision, at_s, self._settings)
        if not size or not self._learned.has_time_for(size, at_s):
            return 0
        self._bounded = replace(bounded, decision=decision)
        return size

    def _seen(self) -> Seen:
        return Seen(bool(self._calls), self._asked_at)

    def _later(self, at_s: float, learn: "_Learn", frame: int, passage: Passage) -> None:
        heapq.heappush(self._lessons, (at_s, next(self._numbers), learn, frame, passage))

    def _call(self, frame: int, passage: Passage, at_s: float) -> None:
        if not self._calls:
            self._watch.heard(at_s)
        self._calls[frame] = passage
        demand = passage.demand
        self._learned.sent(frame, demand.upload_bytes, at_s, self._profiled[demand.label].cloud_s)

    def _learn_load(self, _frame: int, passage: Passage, at_s: float, *, beside: bool) -> None:
        profiled = self._profiled[passage.demand.label]
        profiled_s = profiled.edge_s + profiled.exit_s
        self._learned.ran_on_device(passage.demand.edge_s, profiled_s, at_s, beside=beside)

    def _learn_took(self, _frame: int, passage: Passage, at_s: float) -> None:
        """Learn what a frame took that was served as planned."""
        if self._exiting:
            return
        server_s = passage.queue_s + passage.cloud_s
        ready_at = passage.begun_at + passage.demand.edge_s
        network_s = max(0.0, at_s - ready_at - server_s) if passage.demand.crosses else 0.0
        option = self._profiled[passage.demand.label]
        self._learned.finished(option, self._settings, passage.arrived_at, at_s, network_s)

    def _learn_link(self, frame: int, passage: Passage, at_s: float) -> None:
        demand = passage.demand
        self._ended.pop(frame, None)
        if self._calls.pop(frame, None) is None:
            return  # it broke off
        self._learned.settled(frame)
        if passage.timed_out:
            handed_at = passage.begun_at + demand.edge_s
            self._breaker.failed(_late(), handed_at, at_s)
            if self._breaker.circuit is not Circuit.TRYING:  # else a server warms up
                self._learned.lost(demand.upload_bytes, passage.network_s)
            return
        self._watch.heard(at_s)
        self._breaker.succeeded()
        server_s = passage.queue_s + passage.cloud_s
        seen = Transfer(demand.upload_bytes, demand.download_bytes, passage.sent_at, at_s, server_s)
        profiled_s = self._profiled[demand.label].cloud_s
        self._learned.served(seen, passage.queue_s, passage.cloud_s, profiled_s)
        hedge_after_s = math.inf if demand.hedge_after_s is None else demand.hedge_after_s
        if at_s - passage.begun_at - demand.edge_s < hedge_after_s:
            self._learn_took(frame, passage, at_s)


_Learn = Callable[[int, Passage, float], None]


def _refused(demand: Demand) -> Demand:
    """Return what a frame asks that is not sent to the cloud, but finished here at once."""
    return replace(
        demand,
        edge_s=demand.edge_s + demand.finish_s,
        upload_bytes=0.0,
        download_bytes=0.0,
        cloud_s=0.0,
    )


def _late() -> LateError:
    return LateError("no answer has come in time.")


def _broke() -> UnreachableError:
    return UnreachableError("the connection was closed.")


def _first(offered: Plan, plan: Plan, settings: PolicySettings) -> Option:
    """Return the best of a plan for its link, as it is offered at the first rung."""
    best = settings.objective.least(plan.options, plan, settings.terms)
    return next((option for option in offered.options if option.label == best.label), best)


def _rung_plan(rung: Rung, plan: Plan, further: Callable[[Option], tuple[float, ...]]) -> RungPlan:
    asked = plan.with_exits(rung.costs) if rung.costs else plan
    return RungPlan(rung, replace(asked, options=contenders(asked.options, further)))
