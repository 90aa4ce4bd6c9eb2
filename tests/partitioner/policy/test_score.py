"""The policy by any objective: scores against the planner's prices, moves and reasons by hand."""

from dataclasses import replace

import numpy as np
import pytest

from partitioner.bundle.exits import ExitCost
from partitioner.devices.device import Device
from partitioner.devices.radio import Radio
from partitioner.estimators.link_estimate import LinkEstimate
from partitioner.network.link import Link
from partitioner.planning.costs import price
from partitioner.planning.metrics import METRICS
from partitioner.planning.objective import Objective
from partitioner.planning.plan import Plan, plan
from partitioner.planning.terms import Prices, Terms
from partitioner.policy.conditions import Conditions
from partitioner.policy.expected_latency import expect
from partitioner.policy.hysteresis import Hysteresis
from partitioner.policy.policy import contenders, decide
from partitioner.policy.power_rules import PowerDemand
from partitioner.policy.score import further_axes, scorer_of
from partitioner.policy.settings import PolicySettings
from protos.errors import UsageError
from tests.kit.plans import BOARD, CLOUD, EDGE, MIDDLE, PLAN, RADIO, example, option, plan_of, seen
from tests.kit.profiles import codec, make, spread_out

DEVICE = Device(title="d", idle_w=2.0, compute_w=6.0)
NO_TAIL = Radio(title="r", upload_w_per_mbps=0.5, download_w_per_mbps=0.0, active_w=1.0)
JOULES = Terms(device=DEVICE, radio=NO_TAIL)
ALL_TERMS = Terms(device=BOARD, radio=RADIO, workers=2, prices=Prices(0.5, 0.09))


def settings(objective: str, **more: float) -> PolicySettings:
    asked = Objective.parse(objective)
    return PolicySettings(
        objective=asked, terms=JOULES, caution=0.0, hysteresis=Hysteresis(patience=0.0), **more
    )  # type: ignore[arg-type]


def spread_example(exits: dict[str, ExitCost]) -> Plan:
    return example(head=0.080, tail=0.030).with_exits(exits)


@pytest.mark.parametrize("exits", [{}, {"cut-01": ExitCost(rate=0.4, head_share=0.1)}])
@pytest.mark.parametrize("metric", METRICS)
def test_score_of_machines_as_profiled_is_the_planners_price(
    metric: str, exits: dict[str, ExitCost]
) -> None:
    objective = Objective({metric: 2.0})
    for link in (Link(10e6, 8e6, 0.03), Link(0.5e6, 3e6, 0.1), Link(200e6, 1e6, 0.002)):
        made = spread_example(exits).at(link)
        for period_s in (None, 0.2):
            terms = replace(ALL_TERMS, fps=period_s and 1 / period_s)
            now = Conditions(LinkEstimate(link), frame_period_s=period_s)
            scorer = scorer_of(made, now, objective, terms)
            for each in made.options:
                cost = expect(each, now, window=1, caution=0.0)  # alone: nothing waits
                wanted = objective.score(price(each, made, terms))
                assert scorer.score(cost) == pytest.approx(wanted)


def test_joules_of_loaded_machines_and_an_uncertain_link_by_hand() -> None:
    now = seen(8, edge_load=2.0, cloud_load=3.0, cloud_queue_s=0.005)
    doubtful = replace(now, link=replace(now.link, byte_variance=(0.004 / 10_000) ** 2))
    scorer = scorer_of(PLAN, doubtful, Objective.parse("energy"), JOULES)
    # 2 · 20 ms at 6 W; 0.08 Mbit at 0.5 J; 10 + 10 + 0.5 ms and half of 4 ms in doubt, at 1 W; and these
    # with 5 ms of queue and 3 · 3 ms of tail at 2 W.
    network_s = 0.0205 + 0.5 * 0.004
    wanted = 0.040 * 6 + 0.04 + network_s + 2 * (network_s + 0.005 + 0.009)
    # The rate's distribution is cut into a few cases, which have nearly all of its deviation.
    found = scorer.score(expect(MIDDLE, doubtful, 4, caution=0.5))
    assert found == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize(
    ("objective", "best", "words"),
    [
        # cloud 1 + 20.1 + 4, cut-05 20 + 12.1 + 3 ms. Joules: cut-05 0.12 + 0.04 + 0.0121 + 2 · 0.0151 =
        # 0.2023, cloud 0.006 + 0.2 + 0.0201 + 2 · 0.0241 = 0.2743, edge 0.54.
        ("latency", CLOUD, "25.1 ms expected on"),
        ("energy", MIDDLE, "202 mJ a frame expected on"),
        # 0.0251 + 0.2 · 0.2743 = 0.0800; 0.0351 + 0.2 · 0.2023 = 0.0756; 0.09 + 0.2 · 0.54 = 0.198
        ("latency=1,energy=0.2", MIDDLE, "35.1 ms and 202 mJ a frame expected on"),
        ("latency=1,energy=0.1", CLOUD, "25.1 ms and 274 mJ a frame expected on"),
        ("bytes", EDGE, "0 B a frame expected on"),
        # Slowest stages: 10 ms of the uplink, 20 ms and 90 ms of the device.
        ("throughput", CLOUD, "10.0 ms in its slowest stage a frame expected on"),
    ],
)
def test_first_decision_is_the_best_by_the_objective(
    objective: str, best: object, words: str
) -> None:
    decision = decide(PLAN, seen(40), None, 0.0, settings(objective))
    assert decision.option == best
    assert decision.reason.startswith(words)


def test_gain_in_joules_has_to_be_worth_a_move_and_is_said_in_joules() -> None:
    energy = settings("energy")
    first = decide(PLAN, seen(40), None, 0.0, energy)
    assert first.option == MIDDLE
    # At a load of l the edge takes 0.54 · l, cut-05 0.12 · l + 0.0823 J: 104 of 105 mJ at 0.192.
    held = decide(PLAN, seen(40, edge_load=0.192), first, 1.0, energy)
    assert held.option == MIDDLE
    assert held.reason.startswith("105 mJ a frame expected on")
    assert held.reason.endswith("edge takes 1.66 mJ less a frame, too little to move for")
    moved = decide(PLAN, seen(40, edge_load=0.1), held, 2.0, energy)  # 54 of 94.3 mJ
    assert moved.option == EDGE
    assert moved.reason == "this device takes only 0.1x as long; edge takes 40.3 mJ less a frame"
    assert moved.expected_s == pytest.approx(0.009)


def test_small_gain_in_joules_has_to_last() -> None:
    patient = replace(settings("energy"), hysteresis=Hysteresis(patience=0.1))
    current = decide(PLAN, seen(40), None, 0.0, patient)
    taken = []
    for step in range(1, 4):
        # 0.0918 against 0.1027 J: 10.9 mJ, of which 5.1 do not count; 10 % are 10.3 mJ.
        current = decide(PLAN, seen(40, edge_load=0.17), current, 0.2 * step, patient)
        taken.append(current.option)
    assert taken == [MIDDLE, EDGE, EDGE]


def test_move_by_a_weighted_sum_says_what_is_saved_and_what_it_costs() -> None:
    both = settings("latency=1,energy=0.2")
    first = decide(PLAN, seen(200), None, 0.0, both)
    # 1 + 10 + 2 + 0.02 + 4 = 17.0 ms and 238 mJ: 64.6; cut-05 20 + 10 + 0.4 + 0.02 + 3 = 33.4 ms, 197: 72.9
    assert first.option == CLOUD
    moved = decide(PLAN, seen(8), first, 1.0, both)
    assert moved.option == MIDDLE
    assert moved.reason == (
        "uplink fell to 8.00 Mbit/s; cut-05/q4 takes 168 mJ less and 22.0 ms less a frame"
    )


def test_low_battery_makes_joules_count_and_its_end_lets_go_of_them() -> None:
    latency = settings("latency")
    thrifty = PowerDemand(("low battery",), 3.0, 15.0, seconds_per_joule=0.1)
    first = decide(PLAN, seen(40), None, 0.0, latency)
    assert first.option == CLOUD
    # A joule counts 0.3 s: cloud 25.1 + 82.3 = 107 ms, cut-05 35.1 + 60.7 = 95.8.
    moved = decide(PLAN, seen(40, power_demand=thrifty), first, 1.0, latency)  # type: ignore[arg-type]
    assert moved.option == MIDDLE
    assert moved.reason == (
        "low battery: energy counts 3x, at most 15 frames a second; cut-05/q4 takes 72.0 mJ less and "
        "10.0 ms more a frame"
    )
    back = decide(PLAN, seen(40), moved, 2.0, latency)
    assert back.option == CLOUD
    assert back.reason == "low battery is over; cloud/jpeg is 10.0 ms faster"
    unknown = replace(latency, terms=Terms())
    assert decide(PLAN, seen(40, power_demand=thrifty), None, 1.0, unknown).option == CLOUD  # type: ignore[arg-type]


def test_deadline_goes_before_joules_and_lateness_before_both() -> None:
    # At 40 Mbit/s the cloud takes 25.1 ms and more joules than cut-05, which takes 35.1 ms.
    in_time = decide(PLAN, seen(40), None, 0.0, settings("energy", deadline_s=0.03))
    assert (in_time.option, in_time.meets_deadline) == (CLOUD, True)
    crossing = plan_of(CLOUD, MIDDLE)
    too_late = decide(crossing, seen(40), None, 0.0, settings("energy", deadline_s=0.02))
    assert (too_late.option, too_late.meets_deadline) == (CLOUD, False)
    again = decide(crossing, seen(40), too_late, 1.0, settings("energy"))
    assert again.option == MIDDLE


def test_decision_by_joules_is_never_worse_than_the_hysteresis_allows() -> None:
    rng = np.random.default_rng(4)
    options = [option(f"cut-{n:02}", 0.004 * n, 9e4 * 0.6**n, 0.01) for n in range(12)]
    made, current, both = plan_of(*options, EDGE), None, settings("latency=1,energy=0.3")
    mbit, edge_load, factor, moves = 5.0, 1.0, 1.0, 0
    for step in range(1000):
        mbit = float(np.clip(mbit * rng.uniform(0.7, 1.43), 0.1, 100))
        edge_load = float(np.clip(edge_load * rng.uniform(0.9, 1.11), 0.5, 6))
        factor = float(rng.choice([1.0, 3.0])) if step % 20 == 0 else factor
        now = seen(mbit, edge_load=edge_load, power_demand=PowerDemand(("low",), factor))  # type: ignore[arg-type]
        before, current = current, decide(made, now, current, 0.1 * step, both)
        moves += before is not None and before.option != current.option
        scorer = scorer_of(made, now, both.objective, both.terms)
        scores = {each.label: scorer.score(expect(each, now, 4, 0.0)) for each in made.options}
        best = min(scores.values())
        assert scores[current.option.label] <= max(best / 0.95, best + 0.001) + 1e-12
    assert moves > 15


@pytest.mark.parametrize("exits", [False, True])
def test_contenders_hold_the_best_by_every_metric(exits: bool) -> None:
    rng = np.random.default_rng(6)
    cuts = {"cloud": (0.0, 0.1, {"raw": codec(90_000.0)})}
    for n in range(30):
        head, tail, upload = (float(v) for v in rng.choice([1, 2, 3, 5, 8], 3) * (0.01, 0.01, 1e4))
        cuts[f"cut-{n:02}"] = (head, tail, {"raw": codec(upload)})
    bundle, profile = make({**cuts, "edge": (0.2, 0.0, {"raw": codec(0)})})
    for name, cut in profile.cuts.items():
        if cut.head and cut.tail:
            wide = float(rng.choice([0.0, 0.01, 0.05]))
            timing = cut.head.timing.model_copy(update={"p90_s": cut.head.timing.median_s + wide})
            head = cut.head.model_copy(update={"timing": timing})
            profile.cuts[name] = cut.model_copy(update={"head": head})
    made = plan(bundle, Link(1e6, 1e6, 0.01), profile, profile)
    if exits:
        rates = {name: float(rng.choice([0.0, 0.3, 0.9])) for name in cuts if name != "cloud"}
        made = made.with_exits({name: ExitCost(rate, 0.1) for name, rate in rates.items() if rate})
    for metric in METRICS:
        objective = Objective({metric: 1.0})
        kept = contenders(made.options, further_axes(made, objective))
        assert len(kept) < len(made.options)
        for _ in range(50):
            now = seen(
                float(rng.uniform(0.2, 50)),
                float(rng.uniform(0, 0.1)),
                edge_load=float(rng.uniform(0.5, 4)),
                cloud_load=float(rng.uniform(0.5, 4)),
                frame_period_s=float(rng.choice([0.0, 0.02, 0.1])),
            )
            scorer = scorer_of(made, now, objective, ALL_TERMS)
            scores = {each.label: scorer.score(expect(each, now, 4, 0.5)) for each in made.options}
            best = pytest.approx(
                min(scores.values()), rel=1e-12
            )  # equals are summed in another order
            assert min(scores[each.label] for each in kept) == best, metric


def test_objective_that_nobody_can_count_is_refused_at_once() -> None:
    for objective, match in (("energy", "`device` NAME"), ("latency=1,cost=2", "`price_gb`")):
        with pytest.raises(UsageError, match=match):
            PolicySettings(objective=Objective.parse(objective))
    PolicySettings(objective=Objective({"latency": 1.0, "energy": 0.0}))  # it does not count
    with pytest.raises(UsageError, match="exclude each other"):
        Objective.asked("energy", "latency=1,energy=0.2")


def test_spread_counts_only_for_p95() -> None:
    profile = spread_out(example().edge, {"head": 0.08})
    made = replace(example(), edge=profile, cloud=profile)
    (cut,) = (each for each in made.options if each.cut == "cut-01")
    # Slower than the median by ln(80 / 60) / 1.2816 a deviation of the head, nothing else.
    assert further_axes(made, Objective.parse("p95"))(cut)[:4] == pytest.approx((0.224471, 0, 0, 0))
    assert further_axes(made, Objective.parse("energy"))(cut) == ()
    assert not any(further_axes(made, Objective.parse("p95"))(cut)[4:])  # no frame exits
    early = replace(cut, exit_rate=0.25)
    # A crossing frame takes what the mean does and a quarter more of the round trip, bytes and the tail.
    beyond = (0.25, cut.upload_bytes / 4, cut.cloud_s / 4, cut.download_bytes / 4)
    assert further_axes(made, Objective.parse("p95"))(early)[4:] == pytest.approx(beyond)
