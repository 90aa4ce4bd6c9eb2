"""The controller: it decides for each frame from the estimates of the link and of both machines."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import RLock
from time import perf_counter

from edge_client.cloud.absence import say_absence
from edge_client.control.estimates import EdgeEstimates
from edge_client.control.listeners import Listeners
from edge_client.control.offer import Limits, likely_cuts, offer_at, only_served, without_calibrated
from edge_client.frames.choice import Choice, choose
from edge_client.frames.stages import Stages
from partitioner.bundle.bundle import Bundle
from partitioner.estimators.circuit_breaker import Breaker, Circuit
from partitioner.exits.ladder import Rung
from partitioner.planning.option import Option
from partitioner.planning.plan import Plan
from partitioner.policy.conditions import Conditions
from partitioner.policy.decision import Decision
from partitioner.policy.exit_thresholds import RungDecision, RungPlan, decide_bounded
from partitioner.policy.policy import probe_to_send
from partitioner.policy.power_rules import NO_POWER_DEMAND, PowerDemand
from partitioner.policy.settings import PolicySettings
from protos.codecs.registry import is_calibrated
from protos.errors import MismatchError, UsageError
from protos.names import EDGE

_log = logging.getLogger(__name__)

_STALE_S = 1.0
"""A decision that is older is made again: loads fade, and a link that is not used grows uncertain."""
_SAID_S = 0.2
"""The reason of an option that stays is worded anew this often: it takes longer than the decision."""


@dataclass(frozen=True, slots=True)
class _Ahead:
    """A decision that was made before its frame had come."""

    state: tuple[object, ...]
    at_s: float
    seen: Conditions
    decided: RungDecision

    def holds(self, state: tuple[object, ...], now_s: float) -> bool:
        """Tell whether it would still be decided so."""
        return self.state == state and now_s - self.at_s < _STALE_S


@dataclass(frozen=True, slots=True)
class _Said:
    """What the reason of an option that stays was worded of, and when."""

    option: Option
    power_demand: str
    at_s: float

    def repeats(self, before: "_Said") -> bool:
        """Tell whether the words of a moment ago still do."""
        same = self.option is before.option and self.power_demand == before.power_demand
        return same and self.at_s - before.at_s < _SAID_S


class Controller:
    """Decides frame by frame, by the policy once it has a plan, else as it was told.

    Used from the event loop and from the thread of the heads: what is decided and what is told change
    together, under one lock, so that each call leaves it whole.
    """

    def __init__(
        self,
        bundle: Bundle,
        stages: Stages,
        breaker: Breaker,
        settings: PolicySettings,
        learned: EdgeEstimates | None = None,
    ) -> None:
        self.bundle = bundle
        self.settings = settings
        self.learned = learned or EdgeEstimates(settings)
        """The estimates of link and loads, which every frame, reply and probe teaches."""
        self.switches = 0
        """The number of times that the option has moved."""
        self.looks = 0
        """The number of frames that tried another option for a look at the link,"""
        self.look_bytes = 0.0
        """and the bytes that this sent beyond what frames of the option in use send."""
        self.called_at = float("-inf")
        """The moment at which a frame was last decided for."""
        self.on_move = Listeners[Choice]()
        """Hear where each move of the policy leads, and why, on the thread of the heads."""
        self.distrusts: MismatchError | None = None
        """The mismatch of the cloud's calibration; None while it is this bundle's."""
        self.on_distrust = Listeners[MismatchError | None]()
        """Hear what becomes wrong with the cloud's calibration, and None when it no longer is."""
        self._lock = RLock()
        self._labels: frozenset[str] | None = None
        self._power_demand = NO_POWER_DEMAND
        self._stages = stages
        self._breaker = breaker
        self._told: Choice | None = None
        self._stays_alone = False
        self._moved_to: Choice | None = None
        self._rung_plans: tuple[RungPlan, ...] = ()
        self._offered: tuple[Plan, Limits] | None = None
        self._ladder: tuple[Rung, ...] = (Rung(),)
        self._bounded: RungDecision | None = None
        self._choices: dict[str, Choice] = {}
        self._ahead: _Ahead | None = None
        self._said: _Said | None = None

    @property
    def adapts(self) -> bool:
        """True once the policy decides."""
        return bool(self._rung_plans)

    @property
    def current(self) -> Choice | None:
        """The choice of the last frame, or of the first one; None before anything is known."""
        return self._told

    @property
    def moved_to(self) -> Choice:
        """Where the last move led, and why it was made; UsageError before `auto` has connected."""
        return self._moved_to or self.chosen()

    def chosen(self) -> Choice:
        """Return the choice of the next frame; UsageError before `auto` has connected."""
        if self._told is None:
            raise UsageError("the cut is not chosen yet: auto chooses when the client connects.")
        if self._stays_alone and (why := say_absence(self._breaker.error)) != self._told.reason:
            self._told = replace(self._told, reason=why)
        return self._told

    def stay_at(self, choice: Choice, *, alone: bool = False) -> None:
        """Stay at one choice from the next frame on; no policy moves it any more.

        `alone`: for want of a cloud, so that its reason is what keeps frames from the cloud at the time.
        """
        with self._lock:
            self._rung_plans, self._bounded = (), None
            self._stays_alone = alone
            self._told = self._moved_to = choice

    @property
    def power_demand(self) -> PowerDemand:
        """The demand of the power rules, as last heeded."""
        return self._power_demand

    def follow(
        self,
        plan: Plan,
        first: Option,
        reason: str,
        limits: Limits,
        heeded: PowerDemand = NO_POWER_DEMAND,
        *,
        continues: bool = False,
    ) -> None:
        """Let the policy decide among the plan's options, beginning with `first`.

        `heeded`: the demand of the power rules that `first` was chosen under. `continues`: the link is
        believed to be as it was learnt, and not as it was planned for.
        """
        with self._lock:
            self._rung_plans, self._stays_alone = self._climb(plan, limits), False
            self._offered = plan, limits
            if not (continues and self.learned.link):
                self.learned.begin(plan.link)
            self._stages.know(plan.edge)
            now_s = perf_counter()
            seen = self.conditions(now_s)
            under = replace(seen, power_demand=heeded)
            self._tell(Decision(first, reason, first.total_s, under, now_s), plan)
            self._open_ahead(seen, now_s)

    def heed_limit(self, message_bytes: int) -> None:
        """Choose from the next frame on only what the server takes, which may be another one now."""
        with self._lock:
            if self._offered is None:
                return
            plan, limits = self._offered
            if limits.message_bytes != message_bytes:
                self._offered = plan, replace(limits, message_bytes=message_bytes)
                self._offer_again()

    def expect_exits(self, ladder: Sequence[Rung]) -> None:
        """Use these exit thresholds from the next frame on."""
        with self._lock:
            self._ladder = tuple(ladder)
            if self._bounded is not None and self._offered is not None:
                self._offer_again()
                self._tell(self._bounded.decision, self._offered[0])

    def heed(self, power_demand: PowerDemand) -> None:
        """Follow this demand of the power rules from the next frame on."""
        self._power_demand = power_demand

    def distrust(self, error: MismatchError | None) -> None:
        """Use no codec that needs a calibration from the next frame on, as the cloud has another one.

        None: use them again. Those who listen at `on_distrust` hear of either, once.
        """
        with self._lock:
            before, self.distrusts = self.distrusts, error
            if changed := (before is None) != (error is None):
                self._offer_again()
        if changed:
            self.on_distrust.tell(error)

    def heed_offer(self, labels: frozenset[str] | None) -> None:
        """Choose from the next frame on only among these options, by their labels; None: among all.

        A standard server has some tails with some codecs. What is decided on the device alone stays.
        """
        with self._lock:
            if labels != self._labels:
                self._labels = labels
                self._offer_again()

    def count_on_from(self, before: "Controller") -> None:
        """Go on with what a controller of another version has counted."""
        self.switches, self.looks = before.switches, before.looks
        self.look_bytes, self.called_at = before.look_bytes, before.called_at

    def usable(self, plan: Plan) -> Plan:
        """Return the plan without the options that the cloud lacks, or that its calibration does not suit."""
        served = plan if self._labels is None else only_served(plan, self._labels)
        return served if self.distrusts is None else without_calibrated(served)

    def next(self, arrived_at: float, asked_at: float = -math.inf) -> Choice:
        """Return what a frame does that arrived at `arrived_at`, and was asked for at `asked_at`."""
        now_s = self.called_at = perf_counter()
        self.learned.arrived(arrived_at, asked_at)
        with self._lock:
            before = self._bounded
            if before is not None:
                return self._decide(before, now_s)
            return self.chosen()

    def conditions(self, now_s: float) -> Conditions:
        """Return what is known now; UsageError without a plan."""
        reachable = self._breaker.circuit is not Circuit.OPEN
        seen = self.learned.conditions(now_s, self._power_demand, reachable=reachable)
        if reachable:
            return seen
        late, away = self._breaker.answers_late, say_absence(self._breaker.error)
        return replace(seen, cloud_late=late, cloud_away=away)

    def think_ahead(self) -> None:
        """Decide now for the next frame, which need not wait for it then, unless more is learnt before.

        A decision takes 0.05 ms in a loop, and more than ten times as long after a pause.
        """
        with self._lock:
            if (before := self._bounded) is None:
                return
            state, now_s = self._state, perf_counter()  # the state first: it may change meanwhile
            seen = self.conditions(now_s)
            decided = decide_bounded(self._rung_plans, seen, before, now_s, self.settings)
            self._ahead = _Ahead(state, now_s, seen, decided)

    def probe_bytes(self) -> int:
        """Return what a probe should carry: what the largest option would, within reason."""
        rung_plans = self._rung_plans
        if not rung_plans:
            return 1
        largest_bytes = max(option.upload_bytes for option in rung_plans[0].plan.options)
        return self.learned.probe_bytes(largest_bytes)

    def worth_probing(self) -> int:
        """Return the bytes of a look at the link that is worth them, and count them as spent; 0: none is."""
        with self._lock:
            if (bounded := self._bounded) is None:
                return 0
            now_s = perf_counter()
            seen, plan = self.conditions(now_s), self._rung_plans[bounded.place].plan
            size, decision = probe_to_send(plan, seen, bounded.decision, now_s, self.settings)
            if not size or not self.learned.has_time_for(size, now_s):
                return 0
            self._bounded = replace(bounded, decision=decision)
            return size

    def _climb(self, plan: Plan, limits: Limits) -> tuple[RungPlan, ...]:
        """Return a plan for each rung, with the options that may be best and stay within the limits."""
        usable, objective = self.usable(plan), self.settings.objective
        return tuple(offer_at(rung, usable, limits, objective) for rung in self._ladder)

    def _tell(self, decision: Decision, plan: Plan) -> None:
        """Begin anew at the first rung, with the option as it is there."""
        rung, label = self._ladder[0], decision.option.label
        priced = (each for each in plan.with_exits(rung.costs).options if each.label == label)
        option = next(priced, decision.option)
        self._bounded = RungDecision(replace(decision, option=option), rung=rung)
        self._choices.clear()
        self.learned.decided(self._bounded.decision, perf_counter())
        self._told = self._moved_to = self._choice(self._bounded)

    @property
    def _state(self) -> tuple[object, ...]:
        """All that a decision rests on beside time: once it is another, no earlier decision holds."""
        return (
            self.learned.count,
            self._breaker.circuit,
            self._power_demand,
            self._rung_plans,
            self._bounded,
        )

    def _decide(self, before: RungDecision, now_s: float) -> Choice:
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.holds(self._state, now_s):
            seen, decided = ahead.seen, ahead.decided
        else:
            seen = self.conditions(now_s)
            decided = decide_bounded(self._rung_plans, seen, before, now_s, self.settings)
        if (beside := self._beside_a_trial(before, seen, now_s)) is not None:
            return beside
        if decided.decision.habit is not None and not self._is_ready(decided, seen):
            decided = replace(decided, decision=decided.decision.without_look())
        if _usual(decided) != _usual(before) and not self._is_ready(decided, seen):
            return self._choice(replace(before, decision=before.decision.without_look()))
        return self._take(decided)

    def _offer_again(self) -> None:
        """Offer what is usable and allowed now; all as before if that is nothing: frames fall back then."""
        if self._bounded is None or self._offered is None:
            return
        try:
            self._rung_plans = self._climb(*self._offered)
        except UsageError as error:
            _log.warning(
                "%s Until then frames go on without the cloud, as `on_failure` says.", error
            )

    def _beside_a_trial(
        self, before: RungDecision, seen: Conditions, now_s: float
    ) -> Choice | None:
        """Return to stay here while another frame tries the cloud, which moves no cut; None: none does."""
        if before.decision.option.cut == EDGE or not self._breaker.is_trying:
            return None
        away = replace(seen, cloud_reachable=False)
        alone = decide_bounded(self._rung_plans, away, None, now_s, self.settings)
        if not self._stages.is_open("head", alone.decision.option.cut):
            return None
        reason = "the cloud is back, and another frame tries it"
        return self._choice(replace(alone, decision=replace(alone.decision, said=reason)))

    def _explained(self, decided: RungDecision, before: RungDecision | None) -> RungDecision:
        """Say of a move that is due to the cloud's calibration that it is."""
        if before is None or self.distrusts is None:
            return decided
        old, new = before.decision.usual, decided.decision.option
        if not is_calibrated(old.codec) or is_calibrated(new.codec):
            return decided
        reason = f"the cloud has another calibration; {new.label} needs none"
        return replace(decided, decision=replace(decided.decision, said=reason))

    def _take(self, decided: RungDecision) -> Choice:
        before = self._bounded
        decided = self._bounded = self._explained(decided, before)
        moved = before is None or _usual(before) != _usual(decided)
        self.looks += decided.decision.habit is not None
        self.look_bytes += decided.decision.look_bytes
        if moved:
            self.switches += 1
            self.learned.decided(decided.decision, decided.decision.since_s)
            self._open_ahead(decided.decision.conditions, decided.decision.since_s)
        self._told = self._choice(decided)
        if moved or (before is not None and before.place != decided.place):
            self._moved_to = self._told
            self.on_move.tell(self._told)
        return self._told

    def _choice(self, decided: RungDecision) -> Choice:
        option, now_s = decided.decision.option, perf_counter()
        known, held = self._choices.get(option.label), self._said
        stays = not isinstance(decided.decision.said, str)
        said = _Said(option, str(self._power_demand), now_s)
        if known is not None and stays and held is not None and said.repeats(held):
            return known
        self._said = said if stays else None
        reason = decided.decision.reason
        if (power_demand := str(self._power_demand)) and power_demand not in reason:
            reason = f"{reason} ({power_demand})"
        if known is None or known.option is not option:
            known = choose(self.bundle, option.cut, option.codec, reason)
            limit = decided.rung.thresholds.get(option.cut, math.inf)
            known = replace(known, option=option, exits_from=limit)
            self._choices[option.label] = known
        if known.reason != reason:
            known = self._choices[option.label] = replace(known, reason=reason)
        return known

    def _is_ready(self, decided: RungDecision, seen: Conditions) -> bool:
        """Tell whether a move waits for no head; one that is not open is opened meanwhile.

        Without a cloud there is nothing to wait for: the frame would be finished here anyway.
        """
        cut_id = decided.decision.option.cut
        if self._stages.is_open("head", cut_id):
            return True
        self._stages.prefetch("head", cut_id)
        return not seen.cloud_reachable

    def _open_ahead(self, seen: Conditions, now_s: float) -> None:
        """Open what is likely next: this cut's tail, and the heads of the cuts that may be best soon."""
        if self._bounded is None:
            return
        cuts = likely_cuts(self._rung_plans, seen, now_s, self.settings)
        self._stages.prefetch("head", next(cuts))  # needed when the cloud is away
        if (cut_id := self._bounded.decision.option.cut) != EDGE:
            self._stages.prefetch("tail", cut_id)
        for cut_id in cuts:
            self._stages.prefetch("head", cut_id)


def _usual(decided: RungDecision) -> str:
    return decided.decision.usual.label
