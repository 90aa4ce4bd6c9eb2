"""Without tails and without a cloud: the exit that is right most often."""

from dataclasses import replace

import pytest

from partitioner.planning.option import LastResort
from partitioner.planning.plan import Plan
from partitioner.policy.last_resort import best_alone
from partitioner.policy.policy import contenders, decide
from partitioner.policy.settings import PolicySettings
from tests.kit.plans import option, plan_of, seen

EARLY = replace(option("cut-01", 0.010, 10_000, 0.020), last_resort=LastResort(0.80, 0.002))
LATE = replace(option("cut-05", 0.040, 5_000, 0.010), last_resort=LastResort(0.95, 0.004))
BARE = option("cut-03", 0.020, 200, 0.015)


def away(plan_: Plan, **settings: float) -> tuple[str, float]:
    found = decide(plan_, seen(1.0, cloud_reachable=False), None, 0.0, PolicySettings(**settings))
    return found.option.cut, found.expected_s


def test_without_a_cloud_the_policy_takes_the_exit_that_is_right_most_often() -> None:
    heads = plan_of(BARE, EARLY, LATE)
    assert away(heads) == ("cut-05", pytest.approx(0.044))  # 40 ms of head, 4 of exit
    # Of those within 20 ms there is one: 10 ms of head, 2 of exit. Of those within 5 ms none.
    assert away(heads, deadline_s=0.020) == ("cut-01", pytest.approx(0.012))
    assert away(heads, deadline_s=0.005) == ("cut-01", pytest.approx(0.012))
    assert (
        away(plan_of(BARE))[0] == "cut-03"
    )  # nothing answers; it stays where the cloud is asked best


def test_device_begins_without_a_cloud_at_the_edge_or_at_its_best_exit() -> None:
    edge = option("edge", 0.5, 0, 0.0)
    assert best_alone([BARE, EARLY, edge, LATE]) is edge
    assert best_alone([BARE, EARLY, LATE]) is LATE
    as_sure = replace(LATE, cut="cut-04", edge_s=0.030)
    assert best_alone([LATE, as_sure]) is as_sure  # and sooner
    assert best_alone([BARE]) is None


def test_policy_says_that_only_exits_remain_and_comes_back() -> None:
    heads = plan_of(BARE, EARLY, LATE)
    near = seen(1000.0)
    first = decide(heads, near, None, 0.0)
    assert first.option is not LATE
    gone = decide(heads, seen(1000.0, cloud_reachable=False), first, 1.0)
    assert gone.option is LATE
    assert gone.reason == "the cloud is away; only exits remain, and that of cut-05 is the best"
    still = decide(heads, seen(1000.0, cloud_reachable=False), gone, 2.0)
    assert (still.option, still.reason) == (gone.option, gone.reason)
    back = decide(heads, near, still, 3.0)
    assert back.option is first.option
    assert back.reason.startswith("the cloud is back")


def test_deadline_that_nothing_meets_with_the_cloud_leaves_the_exit() -> None:
    slow = seen(0.1)  # 0.1 Mbit/s: even 200 bytes take 16 ms, beside 10 of round trip
    found = decide(plan_of(BARE, EARLY, LATE), slow, None, 0.0, PolicySettings(deadline_s=0.045))
    assert (found.option, found.meets_deadline) == (LATE, False)


def test_option_with_the_best_exit_stays_in_the_plan_though_another_is_cheaper() -> None:
    cheaper = option("cut-06", 0.030, 4_000, 0.009)
    assert LATE in contenders([BARE, EARLY, LATE, cheaper])
    bare = replace(LATE, last_resort=None)
    assert bare not in contenders([BARE, EARLY, bare, cheaper])
