"""The policy: a pure function from plan, conditions and clock to the option of the next frame.

The running edge and the simulator call the same `decide`.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from partitioner.planning.metrics import FrameTimes
from partitioner.planning.option import Option
from partitioner.planning.pareto import undominated
from partitioner.planning.plan import Plan
from partitioner.policy.conditions import Conditions
from partitioner.policy.decision import Decision
from partitioner.policy.expected_latency import by_mean, by_risk
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
    costs = [settings.expect(option, seen) for option in plan.options]
    able, meets = _able(costs, seen, settings)
    scorer = settings.scorer(plan, seen, meets=meets)
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
        instead_s = staying.mean_s if weighs_latency_alone(settings.objective) else None
        said = gain_reason(best, staying, scorer, current, settings, meets=meets)
        return replace(move(said), instead_s=instead_s)
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
