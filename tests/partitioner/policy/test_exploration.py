"""Looks at the link: what they are worth, by hand, and that they stay within their budget."""

from dataclasses import replace

import numpy as np
import pytest

from partitioner.estimators.link_estimate import LinkEstimate
from partitioner.network.link import Link
from partitioner.planning.metrics import FrameTimes
from partitioner.planning.objective import LATENCY, Objective
from partitioner.planning.terms import NO_TERMS
from partitioner.policy.conditions import Conditions
from partitioner.policy.decision import Decision
from partitioner.policy.exploration import (
    NOTHING_SPENT,
    LookSettings,
    Outlook,
    options_to_try,
    probe_worth,
)
from partitioner.policy.policy import decide, probe_to_send
from partitioner.policy.score import scorer_of
from partitioner.policy.settings import PolicySettings
from tests.kit.plans import CLOUD, EDGE, MIDDLE, PLAN, option, plan_of

# cloud/jpeg with 50 kB, cut-05/q4 with 10 kB, and edge in 90 ms. On 2 Mbit/s the first takes over 200 ms.
SLOW = Link(2e6, 2e6, 0.01)
LOOKING = PolicySettings(window=1)


def conditions(share: float, link: Link = SLOW, **more: object) -> Conditions:
    byte_s = 8 / link.uplink_bps
    estimate = LinkEstimate(link, byte_variance=(share * byte_s) ** 2, noise=0.05, volatility=0.25)
    return Conditions(estimate, frame_period_s=0.1, **more)  # type: ignore[arg-type]


def outlook_of(now: Conditions, habit: str, objective: Objective = LATENCY) -> Outlook | None:
    costs = LOOKING.expect_all(PLAN, now).all()
    at = next(cost for cost in costs if cost.option.label == habit)
    return Outlook.of(at, costs, scorer_of(PLAN, now, objective, NO_TERMS), now, 0.001)


def test_nothing_is_worth_a_look_at_a_link_that_is_known() -> None:
    assert outlook_of(conditions(0.0), "cut-05/q4") is None


def test_nothing_is_worth_a_look_while_a_message_will_tell() -> None:
    assert outlook_of(conditions(1.5), "cut-05/q4") is not None
    assert outlook_of(conditions(1.5, message_under_way=True), "cut-05/q4") is None


@pytest.mark.parametrize("objective", ["bytes", "throughput"])
def test_what_latency_does_not_weigh_is_not_looked_for(objective: str) -> None:
    assert outlook_of(conditions(1.5), "cut-05/q4", Objective.parse(objective)) is None


def test_perfect_knowledge_is_worth_the_mean_of_what_each_case_would_gain() -> None:
    now = conditions(1.5)
    outlook = outlook_of(now, "cut-05/q4")
    assert outlook is not None
    costs = LOOKING.expect_all(PLAN, now).all()
    habit = next(cost for cost in costs if cost.option == MIDDLE)
    weights = [case.weight for case in now.link.cases]
    wanted = sum(
        weight * max(0.0, habit.by_case_s[place] - min(c.by_case_s[place] for c in costs) - 0.001)
        for place, weight in enumerate(weights)
    )
    apart = np.eye(len(weights))[None]
    assert outlook.values(apart)[0] == pytest.approx(wanted)
    # Nothing told: the habit, or what is the best on average.
    alike = np.zeros((1, len(weights), len(weights)))
    alike[0, 0] = 1.0
    mean = min(sum(w * s for w, s in zip(weights, c.by_case_s, strict=True)) for c in costs)
    here = sum(w * s for w, s in zip(weights, habit.by_case_s, strict=True))
    assert outlook.values(alike)[0] == pytest.approx(max(0.0, here - mean - 0.001))


def test_larger_messages_tell_more_cases_apart() -> None:
    outlook = outlook_of(conditions(1.0), "cut-05/q4")
    assert outlook is not None
    told = outlook.told(np.array([0.0, 100.0, 10_000.0, 1e6]))
    groups = (told.sum(axis=2) > 0).sum(axis=1)
    assert groups.tolist() == sorted(groups.tolist())
    assert (groups[0], groups[1]) == (1, 1)
    assert groups[-1] == len(outlook.link.cases)
    assert told.sum(axis=1) == pytest.approx(1.0)  # each case lies in one group


def test_option_that_may_be_better_is_tried_and_its_reason_says_so() -> None:
    # A message of 1 kB says nothing of 6 Mbit/s or 30; on those 50 kB take 15 ms less than on the device.
    small = replace(option("cut-09", 0.045, 1_000, 0.002, "q2"), finish_s=0.03)
    made = plan_of(replace(CLOUD, finish_s=0.08), small, EDGE)
    now = conditions(1.5, Link(6e6, 6e6, 0.01))
    first = Decision(small, "as planned", 0.05, now, 0.0)
    warm = replace(first, spent=NOTHING_SPENT.after(LOOKING.expect(small, now), 0.9))
    lavish = replace(LOOKING, looks=LookSettings(free_bytes=1e6, time_share=1e3))
    tried = decide(made, now, warm, 1.0, lavish)
    assert (tried.option.label, tried.habit, tried.usual) == ("cloud/jpeg", small, small)
    assert tried.reason == "trying cloud/jpeg: the link may be better than is known"
    assert tried.since_s == 0.0  # no move
    assert tried.look_bytes == tried.spent.look_bytes == 49_000
    # A device that cannot look now, as its head is not open, says why it takes what it takes.
    never = replace(LOOKING, looks=LookSettings(byte_share=0.0, free_bytes=0.0))
    staying = decide(made, now, warm, 1.0, never)
    assert (tried.without_look().option, staying.option) == (small, small)
    assert tried.without_look().reason == staying.reason
    # The next frame takes what frames take, as the one that tries is under way.
    after = decide(made, replace(now, message_under_way=True), tried, 1.1, LOOKING)
    assert (after.option, after.habit, after.look_bytes) == (small, None, 0.0)


def test_probe_is_the_smallest_that_tells_nearly_all() -> None:
    outlook = outlook_of(conditions(1.5), "edge")
    assert outlook is not None
    size = probe_worth(outlook)
    assert 2_000 <= size <= 32_000
    sizes = np.array([2e3, 4e3, 8e3, 16e3, 32e3])
    values = outlook.values(outlook.told(sizes))
    assert values[sizes == size][0] >= 0.8 * values.max()
    assert all(value < 0.8 * values.max() for value in values[sizes < size])


def test_looks_stay_within_their_budget_of_bytes() -> None:
    now = conditions(1.5)
    decision, sent, spent = Decision(EDGE, "", 0.09, now, 0.0), 0.0, 0.0
    for frame in range(3_000):  # five minutes
        size, decision = probe_to_send(PLAN, now, decision, 0.1 * frame, LOOKING)
        decision = decide(PLAN, now, decision, 0.1 * frame, LOOKING)
        decision = decision.without_look()
        spent += size
        sent += decision.option.upload_bytes
    most = LOOKING.looks.byte_share * sent + 5 * LOOKING.looks.free_bytes
    assert 0 < spent <= 1.3 * most


def test_budget_of_time_forbids_what_is_expected_to_cost_more() -> None:
    costs = LOOKING.expect_all(PLAN, conditions(1.5)).all()
    spent = NOTHING_SPENT
    for frame in range(100):  # ten seconds of frames
        spent = spent.after(costs[2], 0.1 * frame)
    limit_s = LookSettings().time_share * spent.faded(9.9).frame_s
    assert spent.allows(0.0, 0.9 * limit_s, LookSettings(), 9.9)
    assert not spent.allows(0.0, 1.1 * limit_s, LookSettings(), 9.9)


def test_spending_fades_within_minutes() -> None:
    (cost, *_) = LOOKING.expect_all(PLAN, conditions(0.0)).all()
    spent = NOTHING_SPENT.after(cost, 0.0, 1_000.0, 0.01)
    later = spent.faded(60.0)
    assert later.look_bytes == pytest.approx(1_000 / np.e)
    assert later.look_s == pytest.approx(0.01 / np.e)
    assert options_to_try(outlook) if (outlook := outlook_of(conditions(1.5), "edge")) else False


def test_only_what_the_budget_allows_is_tried() -> None:
    outlook = outlook_of(conditions(1.5), "edge")
    assert outlook is not None
    best = options_to_try(outlook)
    assert best
    asked = []

    def allows(cost: FrameTimes) -> bool:
        asked.append(cost.option)
        return cost is not best[0]

    assert options_to_try(outlook, allows) == best[1:]
    assert EDGE not in asked  # it is the habit, and no look
