"""Thresholds of exits under a deadline: the highest that is in time, down at once, up when it lasts."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from partitioner.bundle.exits import BundleExits
from partitioner.exits.ladder import LEVELS, Rung, climb_down, levels_of, own_rung
from partitioner.planning.option import Option
from partitioner.policy.conditions import Conditions
from partitioner.policy.decision import Decision
from partitioner.policy.exit_thresholds import RungDecision, RungPlan, decide_bounded
from partitioner.policy.hysteresis import Hysteresis
from partitioner.policy.policy import decide, expected_s
from partitioner.policy.settings import PolicySettings
from protos.errors import UsageError
from tests.kit.plans import CLOUD, MIDDLE, option, plan_of, seen

LIMITED = PolicySettings(deadline_s=0.1, caution=0.0, hysteresis=Hysteresis(patience=0.0))
SLOW_EDGE = option("edge", 0.130, 0, 0.0)
LADDER = ((0.0, None), (0.5, (0.95, 0.995)), (0.8, (0.71, 0.984)))
"""By rung: the chance to exit at cut-05, and the threshold with its agreement."""


def steps_of(*more: Option) -> tuple[RungPlan, ...]:
    """cut-05 with an exit that takes 2 ms, the edge, and `more`."""
    steps = []
    for rate, measured in LADDER:
        rung = Rung() if measured is None else Rung({}, *({"cut-05": it} for it in measured))
        asking = replace(MIDDLE, exit_rate=rate, exit_s=0.002)
        steps.append(RungPlan(rung, plan_of(*more, asking, SLOW_EDGE)))
    return tuple(steps)


STEPS = steps_of()


def run(
    *frames: tuple[float, Conditions], steps: tuple[RungPlan, ...] = STEPS
) -> list[RungDecision]:
    """Decide frame by frame, each at its second and under its conditions."""
    found: list[RungDecision] = []
    for now_s, conditions in frames:
        current = found[-1] if found else None
        found.append(decide_bounded(steps, conditions, current, now_s, LIMITED))
    return found


# cut-05 on the device with its exit: 22 ms. What crosses takes 10 + 3 ms and 84 ms · (Mbit/s)⁻¹.
@pytest.mark.parametrize(
    ("mbit", "place", "expected_ms"),
    [
        (8.0, 0, 22 + 23.5),  # 84 / 8 = 10.5
        (1.3, 0, 22 + 13 + 64.615),  # 99.6 ms: just in time
        (0.9, 1, 22 + 0.5 * (13 + 93.333)),  # without exits 128.3 ms
        (0.5, 2, 22 + 0.2 * (13 + 168)),  # at 0.95 112.5 ms
        (0.1, 2, 22 + 0.2 * (13 + 840)),  # 192.6 ms: nothing is in time
    ],
)
def test_highest_agreement_in_time_is_taken_by_hand(
    mbit: float, place: int, expected_ms: float
) -> None:
    found = decide_bounded(STEPS, seen(mbit), None, 0.0, LIMITED)
    assert (found.place, found.rung) == (place, STEPS[place].rung)
    assert found.decision.option.cut == "cut-05"
    assert found.decision.expected_s == pytest.approx(1e-3 * expected_ms, abs=1e-6)
    assert found.decision.meets_deadline == (mbit > 0.1)


def test_whole_model_in_time_elsewhere_is_better_than_an_early_answer() -> None:
    # At 0.9 Mbit/s the split misses without exits (128 ms) and takes 75 ms with them; a device that is
    # done in 90 ms by itself agrees always.
    quick = steps_of(option("cut-09", 0.090, 10, 0.0))
    found = decide_bounded(quick, seen(0.9, rtt_s=0.001), None, 0.0, LIMITED)
    assert (found.place, found.decision.option.cut) == (0, "cut-09")


def test_thresholds_fall_at_once_and_say_why() -> None:
    *_, found = run((0.0, seen(8)), (0.1, seen(0.9)))
    assert found.decision.reason == (
        "uplink fell to 900 kbit/s; exits from 0.95 on (99.5 % agree) meet the deadline of 100 ms at "
        "cut-05/q4"
    )
    *_, found = run((0.0, seen(8)), (0.1, seen(0.9)), (0.2, seen(0.9, edge_load=2.5)))
    # 55 + 53.2 = 108.2 ms; 55 + 21.3 = 76.3 ms.
    assert found.place == 2
    assert found.decision.reason == (
        "this device takes 2.5x as long; exits from 0.71 on (98.4 % agree) meet the deadline of 100 ms at "
        "cut-05/q4"
    )


def test_without_a_cloud_thresholds_stay_as_they_are() -> None:
    away = seen(8, cloud_reachable=False)
    assert run((0.0, away))[0].place == 0
    assert [it.place for it in run((0.0, seen(0.5)), (0.1, away), (5.0, away))] == [2, 2, 2]


def test_thresholds_rise_when_there_has_been_room_for_a_second() -> None:
    low = ((0.0, seen(8)), (0.1, seen(0.5)))
    ups = [(0.2 + 0.1 * step, seen(8)) for step in range(12)]
    found = run(*low, *ups)
    # The room is seen first at 0.2 s, and has lasted for a second at 1.2 s.
    assert [it.place for it in found] == [0, *[2] * 11, 0, 0]
    assert found[-2].decision.reason == (
        "uplink rose to 8.00 Mbit/s; the deadline of 100 ms allows cut-05/q4 with no early answers"
    )


def test_thresholds_rise_only_to_what_was_affordable_all_the_time() -> None:
    # At 0.95 Mbit/s: 22 + 13 + 88.4 = 123.4 ms without exits; 22 + 50.7 = 72.7 ms from 0.95 on.
    dip = (0.7, seen(0.95))
    places = [it.place for it in run((0.0, seen(0.5)), (0.1, seen(8)), dip, (1.1, seen(8)))]
    assert places == [2, 2, 2, 1]
    # Without room (0.9 Mbit/s and twice the round trip: 22 + 0.5 · 124.3 = 84 ms; 110 ms: 95 of 90 allowed)
    short = (0.7, seen(0.9, rtt_s=0.040))
    places = [it.place for it in run((0.0, seen(0.5)), (0.1, seen(8)), short, (1.1, seen(8)))]
    assert places == [2, 2, 2, 2]


def test_link_that_wavers_about_the_limit_moves_the_threshold_once() -> None:
    # Without exits 100 ms are met from 84 / 65 = 1.292 Mbit/s on, 90 ms from 84 / 55 = 1.527 on.
    rng = np.random.default_rng(2)
    frames = [(0.1 * step, seen(float(rng.uniform(1.1, 1.5)))) for step in range(600)]
    places = [it.place for it in run((-1.0, seen(8)), *frames)]
    assert sum(one != other for one, other in itertools.pairwise(places)) == 1
    assert places[-1] == 1


def test_nothing_in_time_takes_the_floor_and_an_exit_that_is_asked_in_time() -> None:
    *_, found = run((0.0, seen(8)), (0.1, seen(0.1)))
    assert found.place == 2
    assert found.decision.option.cut == "cut-05"  # the edge's 130 ms would be late for every frame
    assert found.decision.reason == (
        "uplink fell to 100 kbit/s; no option meets the deadline of 100 ms; cut-05/q4 is expected in "
        "193 ms; the lowest allowed: exits from 0.71 on (98.4 % agree)"
    )


def test_thresholds_stay_while_the_cloud_is_away() -> None:
    away = seen(8, cloud_reachable=False)
    before, found = run((0.0, seen(0.9)), (0.1, away))
    assert (before.place, found.place) == (1, 1)
    # Nothing is in time here: the exit answers, however sure, and the cut stays.
    assert found.decision.option.cut == "cut-05"
    late = replace(MIDDLE, cut="cut-07", edge_s=0.05, exit_s=0.002, exit_rate=0.5)
    steps = tuple(RungPlan(step.rung, plan_of(*step.plan.options, late)) for step in STEPS)
    first = decide_bounded(steps, away, None, 0.0, LIMITED).decision
    assert (first.option.cut, first.meets_deadline) == ("cut-07", False)  # it has seen more
    current = Decision(CLOUD, "", 0, seen(8), 0.0)
    moved = decide(plan_of(CLOUD, late, SLOW_EDGE), away, current, 0.0, LIMITED)
    assert moved.reason == "the cloud is away; cut-07/q4 has an exit that answers in time"


def test_latency_on_average_is_kept_like_a_deadline_but_no_frame_is_late_for_it() -> None:
    """The same numbers as above; without a deadline nothing in time means: as fast as it goes."""
    average = replace(LIMITED, deadline_s=None, latency_s=0.1)
    first = decide_bounded(STEPS, seen(8), None, 0.0, average)
    fallen = decide_bounded(STEPS, seen(0.9), first, 0.1, average)
    assert fallen.place == 1
    assert fallen.decision.reason.endswith("(99.5 % agree) meet a latency of 100 ms at cut-05/q4")
    nothing = decide_bounded(STEPS, seen(0.1), fallen, 0.2, average)
    # cut-05 193 ms; the edge 130 ms, which is no worse than any other then.
    assert (nothing.place, nothing.decision.option.cut) == (2, "edge")
    assert nothing.decision.reason == (
        "uplink fell to 100 kbit/s; no option meets a latency of 100 ms; edge is expected in 130 ms"
    )
    away = decide_bounded(STEPS, seen(8, cloud_reachable=False), first, 0.1, average)
    assert away.decision.option.cut == "edge"
    # With both, the deadline is what is left when the latency cannot be kept: cut-05 takes 128.3 ms.
    both = replace(average, deadline_s=0.13, latency_s=0.05)
    found = decide_bounded(STEPS[:1], seen(0.9), None, 0.0, both).decision
    assert (found.option.cut, found.meets_deadline) == ("cut-05", True)


def test_codec_does_not_waver_while_the_cloud_is_away() -> None:
    away, other = seen(8, cloud_reachable=False), replace(MIDDLE, codec="int8", edge_s=0.021)
    asked = [replace(it, exit_rate=0.5, exit_s=0.002) for it in (MIDDLE, other)]
    plan = plan_of(*asked, SLOW_EDGE)
    first = decide(plan, away, None, 0.0, LIMITED)
    slow = decide(plan, replace(away, edge_load=1.5), first, 1.0, LIMITED)
    assert [found.option.label for found in (first, slow)] == ["cut-05/q4"] * 2


def test_first_decision_is_that_of_an_exhaustive_search() -> None:
    rng = np.random.default_rng(8)
    for _ in range(300):
        heads = np.sort(rng.uniform(0.005, 0.09, 4))
        cuts = [
            option(f"cut-{n}", float(s), float(rng.uniform(1e3, 3e4)), 0.003)
            for n, s in enumerate(heads)
        ]
        rates = np.sort(rng.random((5, 4)), axis=0)  # lower rungs let more frames exit
        rates[0] = 0
        steps = tuple(
            RungPlan(
                Rung(),
                plan_of(
                    *(
                        replace(cut, exit_rate=float(p), exit_s=0.002)
                        for cut, p in zip(cuts, row, strict=True)
                    ),
                    SLOW_EDGE,
                ),
            )
            for row in rates
        )
        now = seen(float(rng.uniform(0.2, 10)), frame_period_s=float(rng.choice([0.05, 0.2])))
        found = decide_bounded(steps, now, None, 0.0, LIMITED)
        fastest = [min(expected_s(it, now, LIMITED) for it in step.plan.options) for step in steps]
        in_time = [place for place, seconds in enumerate(fastest) if seconds <= 0.1]
        assert found.place == (in_time[0] if in_time else 4)
        assert found.decision.meets_deadline == bool(in_time)
        if in_time:
            assert found.decision.expected_s == pytest.approx(fastest[found.place])


def test_one_rung_or_no_deadline_is_the_plain_policy() -> None:
    for steps, settings in ((STEPS[:1], LIMITED), (STEPS, PolicySettings())):
        found = decide_bounded(steps, seen(0.5), None, 0.0, settings)
        assert found.decision == decide(STEPS[0].plan, seen(0.5), None, 0.0, settings)
        assert found.place == 0


def test_ladder_goes_down_to_its_floor(trained: BundleExits) -> None:
    own, low = climb_down(trained), climb_down(trained, 0.9)
    assert own[0].thresholds == {}
    assert all(cost.rate == 0 and cost.head_share > 0 for cost in own[0].costs.values())
    assert own[-1].thresholds == own_rung(trained).thresholds  # what they were trained for
    assert low[: len(own)] == own
    for rung in low[1:]:
        for cut, threshold in rung.thresholds.items():
            known = trained.find(cut).outcomes.at(threshold)
            assert rung.agreements[cut] == known.agreement
            assert known.agreement_95 is not None
            assert known.agreement_95 >= 0.9
            assert rung.costs[cut].rate == known.exit_rate
    for cut, found in trained.by_cut.items():
        rates = [rung.costs[cut].rate for rung in low]
        assert rates == sorted(rates)
        levels = list(levels_of(found))
        assert all(found.outcomes.threshold_for(level) == limit for level, limit in levels)
        assert {level for level, _ in levels} <= set(LEVELS)
    with pytest.raises(UsageError, match=r"an agreement of 1\.5 has no meaning"):
        climb_down(trained, 1.5)
    assert own_rung(trained, 0.7).words(next(iter(trained.by_cut))).startswith("exits from 0.7 on")
