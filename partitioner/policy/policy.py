"""Which option the next frame takes: a pure function of the plan, what was seen, and the clock.

The running edge and the simulator call the same `decide`.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from partitioner.common.units import format_duration
from partitioner.planning.metrics import FrameTimes
from partitioner.planning.objective import LATENCY, Objective
from partitioner.planning.option import Option
from partitioner.planning.pareto import undominated
from partitioner.planning.plan import Plan
from partitioner.planning.terms import NO_TERMS, Terms
from partitioner.policy.causes import name_cause
from partitioner.policy.conditions import Conditions
from partitioner.policy.expected_latency import by_mean, by_risk, expect
from partitioner.policy.last_resort import agreement, remaining
from partitioner.policy.score import Scorer, scorer_of
from partitioner.policy.wording import say_best, say_expected, say_gain
from protos.names import EDGE


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """What is minimised, what moves the cut, and what does not.

    Raises UsageError if the terms lack what the objective needs.
    """

    objective: Objective = LATENCY
    terms: Terms = NO_TERMS
    """The device and the prices, where the objective asks for joules or money."""
    deadline_s: float | None = None
    """From a frame's arrival to its result."""
    latency_s: float | None = None
    """What a frame may be expected to take, the mean of all; a frame that takes longer is not late for it."""
    window: int = 4
    """Frames at work at once."""
    caution: float = 0.5
    """Deviations of the network time that are added to an option's expected latency."""
    gain: float = 0.05
    gain_s: float = 0.001
    """Another option must be better by this share, and by this much of what counts in seconds."""
    patience: float = 0.1
    """And what staying has cost beyond that, frame after frame, must come to this share of a frame, so that
    small gains have to last and large ones move at once."""
    dwell_s: float = 0.0
    """After a move nothing but a failure moves again for so long."""
    raise_room: float = 0.1
    """Thresholds of exits rise again where this share of the deadline is left,"""
    raise_after_s: float = 1.0
    """and has been for so long; see bounding.py."""

    def __post_init__(self) -> None:
        self.objective.check(self.terms)

    @property
    def limit_s(self) -> float | None:
        """What an option is to be expected within: the latency if one is given, else the deadline."""
        return self.deadline_s if self.latency_s is None else self.latency_s

    @property
    def limit(self) -> str:
        """The same in words."""
        what = "the deadline" if self.latency_s is None else "a latency"
        return f"{what} of {format_duration(math.inf if self.limit_s is None else self.limit_s)}"


@dataclass(frozen=True, slots=True)
class Decision:
    """The option of the next frame, why in words, and its expected latency."""

    option: Option
    reason: str
    expected_s: float
    conditions: Conditions
    """What it was decided on; the next decision tells what has changed."""
    since_s: float
    """When the option was taken."""
    meets_deadline: bool = True
    """False: no option is expected to meet it."""
    owed: float = 0.0
    """What staying has cost since another option has become worth a move, in the objective's unit."""

    def __repr__(self) -> str:
        late = "" if self.meets_deadline else ", too late"
        return (
            f"<Decision for {self.option.label}, {format_duration(self.expected_s)} expected{late}: "
            f"{self.reason}>"
        )


def decide(
    plan: Plan,
    seen: Conditions,
    current: Decision | None,
    now_s: float,
    settings: PolicySettings | None = None,
) -> Decision:
    """Return the option for the next frame: the current one, or a better one and why it is better.

    An option that is not expected to meet the deadline is taken only when none is: then the fastest whose
    exit is asked in time, else that stays on the device if the plan has one. While the cloud is away only
    such options are open.
    """
    settings = settings or PolicySettings()
    costs = [_expect(option, seen, settings) for option in plan.options]
    able, meets = _able(costs, seen, settings)
    scorer = _scorer(plan, seen, settings, meets=meets)
    best = min(able, key=scorer.score)
    if current is None:
        reason = _first(best, scorer, settings, meets=meets)
        return Decision(best.option, reason, best.mean_s, seen, now_s, meets)
    held = _held(able, current.option)
    if held is None:
        gone = _held(costs, current.option) is None
        reason = _must_move(best, scorer, current, settings, meets=meets, gone=gone)
        return Decision(best.option, reason, best.mean_s, seen, now_s, meets)
    owed = current.owed if meets == current.meets_deadline else 0.0
    owed, worth = _weigh(best, held, scorer, owed, now_s - current.since_s, settings)
    if worth:
        reason = _gains(best, held, scorer, current, settings, meets=meets)
        return Decision(best.option, reason, best.mean_s, seen, now_s, meets)
    reason = current.reason
    if meets != current.meets_deadline:
        reason = _of_deadline(held, settings, meets=meets)
    elif seen.cloud_reachable and not current.conditions.cloud_reachable:
        reason = f"the cloud is back; nothing is worth leaving {held.option.label} for"
    return Decision(
        held.option,
        reason,
        held.mean_s,
        current.conditions,
        current.since_s,
        meets,
        owed,
    )


def expected_s(option: Option, seen: Conditions, settings: PolicySettings | None = None) -> float:
    """Return the expected latency of one option under `seen`, without any margin."""
    return _expect(option, seen, settings or PolicySettings()).mean_s


def contenders(
    options: Iterable[Option],
    further: Callable[[Option], tuple[float, ...]] = lambda _option: (),
) -> tuple[Option, ...]:
    """Return the options that no other beats on device, cloud and both directions at once.

    Under no link, load or frame rate can another be the fastest, or the best by any objective whose
    `further_axes` are given too, so that only these need be weighed. (Joules grow with each axis as long
    as a radio draws no more in its tail than while it is awake.) The cut `edge` always stays: it is what
    remains without a cloud. Where there is none, how good an exit's answer is counts too.
    """
    known = list(options)
    axes = [(*_axes(option), *further(option)) for option in known]
    able = set(undominated(range(len(known)), key=axes.__getitem__))
    return tuple(
        option for place, option in enumerate(known) if option.cut == EDGE or place in able
    )


def _expect(option: Option, seen: Conditions, settings: PolicySettings) -> FrameTimes:
    return expect(option, seen, settings.window, settings.caution)


def _scorer(plan: Plan, seen: Conditions, settings: PolicySettings, *, meets: bool) -> Scorer:
    """Return what options are weighed by: when none is in time, lateness alone, and no joules."""
    if not meets:
        return scorer_of(plan, seen, LATENCY, NO_TERMS)
    return scorer_of(plan, seen, settings.objective, settings.terms)


def _able(
    costs: list[FrameTimes], seen: Conditions, settings: PolicySettings
) -> tuple[list[FrameTimes], bool]:
    """Return what is open, and whether it meets the deadline: with the margin, else without it."""
    local = remaining(costs, seen, settings.deadline_s)
    reachable = costs if seen.cloud_reachable else local
    limits = [limit for limit in (settings.latency_s, settings.deadline_s) if limit is not None]
    for limit_s in limits:
        for seconds in (by_risk, by_mean):
            if in_time := [cost for cost in reachable if seconds(cost) <= limit_s]:
                return in_time, True
    if settings.deadline_s is None:
        return reachable or costs, True
    return _resorts(costs, seen, settings.deadline_s) or local or reachable or costs, False


def _resorts(costs: list[FrameTimes], seen: Conditions, limit_s: float) -> list[FrameTimes]:
    """Return what gives some answer in time where the whole model's cannot be: an exit's, however sure.

    Without a cloud that of the last cut, which has seen most.
    """
    asked = [cost for cost in costs if 0 < _asked_s(cost.option, seen) <= limit_s]
    if asked and not seen.cloud_reachable:
        last = max(asked, key=lambda cost: cost.option.edge_s).option.cut
        return [cost for cost in asked if cost.option.cut == last]
    return asked


def _asked_s(option: Option, seen: Conditions) -> float:
    """Return when an exit has been asked; 0 if none is."""
    return (option.edge_s + option.exit_s) * seen.edge_load if option.exit_s else 0.0


def _held(costs: list[FrameTimes], option: Option) -> FrameTimes | None:
    """Return the cost of the option that is taken now, which may come from a plan of another link."""
    for cost in costs:
        if cost.option.cut == option.cut and cost.option.codec == option.codec:
            return cost
    return None


def _weigh(
    best: FrameTimes,
    held: FrameTimes,
    scorer: Scorer,
    owed: float,
    settled_s: float,
    settings: PolicySettings,
) -> tuple[float, bool]:
    """Return what staying has cost, and whether that is worth a move: a CUSUM of gains, so to speak."""
    if held is best:
        return 0.0, False
    score = scorer.score(held)
    least = max(settings.gain * score, settings.gain_s * scorer.objective.seconds)
    gain = score - scorer.score(best)
    owed = max(0.0, owed + gain - least)
    if gain <= least or settled_s < settings.dwell_s:
        return owed, False
    return owed, owed > settings.patience * score


def _first(best: FrameTimes, scorer: Scorer, settings: PolicySettings, *, meets: bool) -> str:
    if not scorer.seen.cloud_reachable:
        return "the cloud is away"
    if not meets:
        return _of_deadline(best, settings, meets=False)
    return f"{say_expected(best, scorer)} expected on {scorer.seen.link.link}"


def _gains(
    best: FrameTimes,
    held: FrameTimes,
    scorer: Scorer,
    current: Decision,
    settings: PolicySettings,
    *,
    meets: bool,
) -> str:
    def gain(under: Conditions) -> float:
        old, new = (_expect(cost.option, under, settings) for cost in (held, best))
        then = _scorer(scorer.meter.plan, under, settings, meets=meets)
        return then.score(old) - then.score(new)

    cause = name_cause(gain, scorer.seen, current.conditions)
    return f"{cause}; {say_gain(held, best, scorer)}"


def _must_move(
    best: FrameTimes,
    scorer: Scorer,
    current: Decision,
    settings: PolicySettings,
    *,
    meets: bool,
    gone: bool,
) -> str:
    what, seen = best.option.label, scorer.seen
    if gone:
        return f"{current.option.label} is no longer offered; {say_best(best.option, scorer)}"
    if not seen.cloud_reachable and current.option.cut != EDGE:
        if best.option.last_resort:
            return (
                f"the cloud is away; only exits remain, and that of {best.option.cut} is the best"
            )
        why = "needs none" if best.option.cut == EDGE else "has an exit that answers in time"
        return f"the cloud is away; {what} {why}"
    limit_s = settings.limit_s or math.inf
    here = meets and not current.meets_deadline

    def gain(under: Conditions) -> float:
        """Return how far the old option is too late; or how early the new one is, if none was in time."""
        option = best.option if here else current.option
        late_s = _expect(option, under, settings).risked_s - limit_s
        return -late_s if here else late_s

    cause = name_cause(gain, seen, current.conditions)
    if not meets:
        return f"{cause}; {_of_deadline(best, settings, meets=False)}"
    return (
        f"{cause}; {current.option.label} would miss {settings.limit}, {what} is expected in "
        f"{format_duration(best.mean_s)}"
    )


def _of_deadline(taken: FrameTimes, settings: PolicySettings, *, meets: bool) -> str:
    limit = format_duration(settings.deadline_s or math.inf)
    takes = f"{taken.option.label} is expected in {format_duration(taken.mean_s)}"
    if meets:
        return f"the deadline of {limit} can be met again; {takes}"
    return f"no option meets the deadline of {limit}; {takes}"


def _axes(option: Option) -> tuple[float, ...]:
    """Return what an option asks of everybody, and how often it asks for the link."""
    mean = option.expected
    crosses = 0.0 if option.cut == EDGE else 1 - option.exit_rate
    doubt = 1 - agreement(option)
    return (mean.edge_s, mean.upload_bytes, mean.cloud_s, mean.download_bytes, crosses, doubt)
