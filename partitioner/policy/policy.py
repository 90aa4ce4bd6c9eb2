"""The policy: a pure function from plan, conditions and clock to the option of the next frame.

The running edge and the simulator call the same `decide`.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from partitioner.estimators.experience import Promise
from partitioner.planning.metrics import FrameTimes
from partitioner.planning.option import Option
from partitioner.planning.pareto import undominated
from partitioner.planning.plan import Plan
from partitioner.policy.conditions import Conditions
from partitioner.policy.decision import Decision
from partitioner.policy.expected_latency import by_mean, by_risk
from partitioner.policy.exploration import Outlook, more_than, options_to_try, probe_worth
from partitioner.policy.last_resort import agreement, remaining
from partitioner.policy.score import Scorer, weighs_latency_alone
from partitioner.policy.settings import PolicySettings
from partitioner.policy.wording.reasons import (
    first_reason,
    forced_reason,
    gain_reason,
    limit_reason,
    stay_reason,
)
from protos.names import EDGE


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
    current = current.without_look() if current else None
    costs = _weighed(plan, seen, current, settings)
    able, meets = _able(costs, seen, settings)
    scorer = settings.scorer(plan, seen, meets=meets)
    decision = _habit(able, costs, scorer, seen, current, now_s, settings, meets=meets)
    return _with_look(decision, able, scorer, seen, current, now_s, settings)


def _with_look(
    decision: Decision,
    able: list[FrameTimes],
    scorer: Scorer,
    seen: Conditions,
    current: Decision | None,
    now_s: float,
    settings: PolicySettings,
) -> Decision:
    """Return the decision, or instead of it a look at the link that is worth its cost."""
    habit = _of(decision.option, able)
    if habit is None:
        return decision
    spent = current.spent if current else decision.spent
    outlook = None
    if decision.meets_deadline and current is not None:
        outlook = _outlook(habit, able, scorer, seen, settings)

    def allows(cost: FrameTimes) -> bool:
        return spent.allows(*more_than(habit, cost), settings.looks, now_s)

    if outlook is None or not (worth := options_to_try(outlook, allows)):
        return replace(decision, spent=spent.after(habit, now_s))
    tried = worth[0]
    return replace(
        decision,
        option=tried.option,
        habit=decision.option,
        habit_said=decision.said,
        said=f"trying {tried.option.label}: the link may be better than is known",
        expected_s=tried.tried_s,
        spent=spent.after(habit, now_s, *more_than(habit, tried)),
    )


def probe_to_send(
    plan: Plan, seen: Conditions, current: Decision, now_s: float, settings: PolicySettings
) -> tuple[int, Decision]:
    """Return the bytes of a probe that is worth sending now, 0 for none, and the decision that has paid."""
    costs = settings.expect_all(plan, seen).all()
    able, meets = _able(costs, seen, settings)
    scorer = settings.scorer(plan, seen, meets=meets)
    habit = _of(current.usual, able)
    if habit is None or not meets:
        return 0, current
    outlook = _outlook(habit, able, scorer, seen, settings)
    size = probe_worth(outlook) if outlook else 0.0
    if not size or not current.spent.allows(size, 0.0, settings.looks, now_s):
        return 0, current
    spent = current.spent.faded(now_s)
    return int(size), replace(current, spent=replace(spent, look_bytes=spent.look_bytes + size))


def _outlook(
    habit: FrameTimes,
    able: list[FrameTimes],
    scorer: Scorer,
    seen: Conditions,
    settings: PolicySettings,
) -> Outlook | None:
    """Return what a look at the link could be worth; None: nothing, or there is no cloud to look at."""
    if not seen.cloud_reachable:
        return None
    least = settings.hysteresis.least(scorer.score(habit), scorer.objective.seconds)
    return Outlook.of(habit, able, scorer, seen, least)


def _habit(
    able: list[FrameTimes],
    costs: list[FrameTimes],
    scorer: Scorer,
    seen: Conditions,
    current: Decision | None,
    now_s: float,
    settings: PolicySettings,
    *,
    meets: bool,
) -> Decision:
    """Return the option that frames take from now on."""
    best = min(able, key=scorer.score)

    def move(reason: str) -> Decision:
        return Decision(best.option, reason, best.mean_s, seen, now_s, meets)

    if current is None:
        return move(first_reason(best, scorer, settings, meets=meets))
    staying = _of(current.option, able)
    if staying is None:
        gone = _of(current.option, costs) is None
        return move(forced_reason(best, scorer, current, settings, meets=meets, gone=gone))
    owed, worth = _weigh(best, staying, scorer, current, now_s, settings, meets=meets)
    if worth:
        promise = _promise(staying, best) if weighs_latency_alone(settings.objective) else None
        said = gain_reason(best, staying, scorer, current, settings, meets=meets)
        return replace(move(said), promise=promise)
    reason: str | Callable[[], str]
    if meets != current.meets_deadline:
        reason = limit_reason(staying, settings, meets=meets)
    elif seen.cloud_reachable and not current.conditions.cloud_reachable:
        reason = (
            f"{current.conditions.comeback}; nothing is worth leaving {staying.option.label} for"
        )
    else:
        reason = partial(stay_reason, staying, best, scorer, settings, meets=meets)
    return replace(
        current,
        option=staying.option,
        said=reason,
        expected_s=staying.mean_s,
        meets_deadline=meets,
        owed=owed,
    )


def expected_s(option: Option, seen: Conditions, settings: PolicySettings | None = None) -> float:
    """Return the expected latency of one option under `seen`, without any margin."""
    return (settings or PolicySettings()).expect(option, seen).mean_s


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


def _weighed(
    plan: Plan, seen: Conditions, current: Decision | None, settings: PolicySettings
) -> list[FrameTimes]:
    """Return what frames take by each option; where only the fastest counts, by those that may be it."""
    expected = settings.expect_all(plan, seen)
    objective = settings.under(seen.power_demand).objective
    if settings.limit_s is None and seen.cloud_reachable and weighs_latency_alone(objective):
        return expected.leading(current.option if current else None)
    return expected.all()


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


def _of(option: Option, costs: list[FrameTimes]) -> FrameTimes | None:
    """Return the costs of the option that is taken now, which may come from a plan of another link."""
    for cost in costs:
        if cost.option.cut == option.cut and cost.option.codec == option.codec:
            return cost
    return None


def _promise(staying: FrameTimes, best: FrameTimes) -> Promise:
    def link_s(times: FrameTimes) -> float:
        return max(0.0, times.mean_s - times.edge_s - times.queue_s - times.cloud_s)

    return Promise(staying.mean_s, best.mean_s, link_s(staying), link_s(best))


def _weigh(
    best: FrameTimes,
    staying: FrameTimes,
    scorer: Scorer,
    current: Decision,
    now_s: float,
    settings: PolicySettings,
    *,
    meets: bool,
) -> tuple[float, bool]:
    """Return what staying has cost, and whether a move is worth it.

    Scores of another objective tell nothing: the sum begins anew when the deadline can be met no longer,
    or again.
    """
    if staying is best:
        return 0.0, False
    return settings.hysteresis.weigh(
        scorer.score(staying),
        scorer.score(best),
        second=scorer.objective.seconds,
        owed=current.owed if meets == current.meets_deadline else 0.0,
        settled_s=now_s - current.since_s,
        reluctance=scorer.seen.lessons.reluctance,
        chance=scorer.seen.lessons.scatter
        * (staying.mean_s - staying.network_s)
        * scorer.objective.seconds,
        settles=scorer.seen.lessons.settles,
    )


def _axes(option: Option) -> tuple[float, ...]:
    """Return what an option asks of everybody, and how often it asks for the link."""
    mean = option.expected
    crosses = 0.0 if option.cut == EDGE else 1 - option.exit_rate
    doubt = 1 - agreement(option)
    return (mean.edge_s, mean.upload_bytes, mean.cloud_s, mean.download_bytes, crosses, doubt)
