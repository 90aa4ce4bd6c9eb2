"""Plans for three machines, against the price of each placement node by node."""

from collections.abc import Callable, Sequence
from math import inf

import numpy as np
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.network.link import Link
from partitioner.planning.plan import plan
from partitioner.planning.tiers import estimate_between, fastest_by_machines, plan_tiers
from partitioner.profiles.profile import CutProfile
from partitioner.profiles.stage_order import heads_of
from partitioner.reports.plans.tiers import tiers_json
from partitioner.search.explorer import best_on, best_tiers
from partitioner.search.placement import Flow, Workload
from partitioner.search.solver import Search
from partitioner.search.survivors import Assumption
from protos.errors import BundleError, UsageError
from tests.kit.calibrations import losing
from tests.kit.profiles import additive, stage
from tests.kit.random_workloads import price_by_hand

LINKS = (Link(50e6, 80e6, 0.004), Link(8e6, 20e6, 0.03))


def by_nodes(bundle: Bundle, seconds: Sequence[Sequence[float]]) -> Workload:
    """Every node by itself, so that a placement by heads can be priced by hand."""
    graph = bundle.graph
    assert graph is not None
    flows = [
        Flow(
            graph.values[name].nbytes() if name in graph.values else inf,
            graph.producer.get(name),
            graph.readers[name],
        )
        for name in (*graph.inputs, *graph.producer)
        if graph.readers.get(name)
    ]
    answers = np.zeros(len(graph.nodes))
    for name in graph.outputs:
        answers[graph.producer[name]] += graph.values[name].nbytes()
    return Workload(np.array(seconds), tuple(flows), answers)


@pytest.mark.parametrize("name", ["residual", "inception", "two_towers"])
def test_every_option_costs_what_its_placement_costs(
    name: str, bundles: Callable[[str], Bundle]
) -> None:
    bundle = bundles(name)
    nodes = len(bundle.graph.nodes if bundle.graph else ())
    rng = np.random.default_rng(nodes)
    times = rng.lognormal(-6, 1, nodes)
    seconds = [(times * factor).tolist() for factor in (1.0, 0.4, 0.05)]
    profiles = tuple(additive(bundle, side) for side in seconds)
    heads, work = heads_of(bundle), by_nodes(bundle, seconds)
    options = plan_tiers(bundle, LINKS, profiles, (1.0, 2.0, 3.0))  # type: ignore[arg-type]
    pairs = [(a, b) for a in heads for b in heads if heads[a] <= heads[b]]
    assert sorted((o.first, o.second) for o in options) == sorted(pairs)
    for option in options:
        tier = [
            0 if node in heads[option.first] else 1 if node in heads[option.second] else 2
            for node in range(nodes)
        ]
        assert option.total_s == pytest.approx(price_by_hand(work, tier, LINKS, (1.0, 2.0, 3.0)))
    assert list(options) == sorted(options, key=lambda option: option.total_s)
    exact = Search(work).best(LINKS, (1.0, 2.0, 3.0))
    assert exact.total_s <= options[0].total_s * (1 + 1e-9)
    scaled = tuple(
        profile.model_copy(update={"node_s": tuple(side)}).scaled(load)
        for profile, side, load in zip(profiles, seconds, (1.0, 2.0, 3.0), strict=True)
    )
    answer = best_tiers(bundle, scaled, LINKS)  # type: ignore[arg-type]
    assert exact.total_s * (1 - 1e-9) <= answer.total_s <= options[0].total_s * (1 + 1e-9)


def test_nodes_that_were_timed_at_another_pace_price_the_ends_as_the_plan_does(
    residual_bundle: Bundle,
) -> None:
    graph = residual_bundle.graph
    assert graph is not None
    times = [0.002] * len(graph.nodes)
    quiet = additive(residual_bundle, times).model_copy(
        update={"node_s": tuple(seconds / 3 for seconds in times)}
    )
    profiles = (quiet, quiet.scaled(50.0), quiet.scaled(50.0))  # so that the device does all
    answer = best_tiers(residual_bundle, profiles, LINKS)
    assert answer.cuts == ("edge", "edge")
    assert answer.total_s == pytest.approx(plan_tiers(residual_bundle, LINKS, profiles)[0].total_s)
    alone = best_on(residual_bundle, quiet, profiles[2], LINKS[1], Assumption())
    options = plan(residual_bundle, LINKS[1], quiet, profiles[2]).options
    assert alone.total_s == pytest.approx(next(o for o in options if o.cut == "edge").total_s)


def test_near_edge_that_does_nothing_passes_the_frame_on(residual_bundle: Bundle) -> None:
    graph = residual_bundle.graph
    assert graph is not None
    profile = additive(residual_bundle, [0.001] * len(graph.nodes))
    options = plan_tiers(residual_bundle, LINKS, (profile, profile, profile))
    relayed = next(option for option in options if (option.first, option.second) == ("cloud",) * 2)
    # 12,288 bytes up over both links, 40 back; nothing is decoded or computed between them.
    up = 8 * 12_288 * (1 / 50e6 + 1 / 8e6)
    down = 8 * 40 * (1 / 80e6 + 1 / 20e6)
    assert relayed.compute_s[:2] == (0, 0)
    assert sum(relayed.network_s) == pytest.approx(0.034 + up + down)
    machines = {(o.first == "edge", o.second == "edge"): o.machines for o in options}
    assert machines == {(True, True): 1, (False, True): 2, (False, False): 3}


def test_resuming_and_handing_over_are_paid_on_every_machine_on_the_way(
    residual_bundle: Bundle,
) -> None:
    graph = residual_bundle.graph
    assert graph is not None
    plain = additive(residual_bundle, [0.002] * len(graph.nodes))
    plain = plain.model_copy(update={"node_s": (0.002,) * len(graph.nodes)})
    waits, hands = (0.001, 0.010, 0.100), (0.002, 0.020, 0.200)
    without = (plain, plain.scaled(0.3), plain.scaled(0.01))
    profiles = tuple(
        one.model_copy(update={"resume_s": wait, "crossing_s": hand})
        for one, wait, hand in zip(without, waits, hands, strict=True)
    )
    cost = {(o.first, o.second): o for o in plan_tiers(residual_bundle, LINKS, without)}
    found = plan_tiers(residual_bundle, LINKS, profiles)  # type: ignore[arg-type]
    for option in found:
        extra = option.total_s - cost[option.first, option.second].total_s
        handed = hands[: option.machines - 1]  # the last one sends nothing on
        assert extra == pytest.approx(sum(waits[: option.machines]) + sum(handed))
    answer = best_tiers(residual_bundle, profiles, LINKS)  # type: ignore[arg-type]
    assert answer.total_s <= found[0].total_s * (1 + 1e-9)
    assert answer.total_s >= best_tiers(residual_bundle, without, LINKS).total_s + waits[0]
    one = best_on(residual_bundle, profiles[0], profiles[2], LINKS[1], Assumption())
    options = plan(residual_bundle, LINKS[1], profiles[0], profiles[2]).options
    assert min(o.total_s for o in options) >= one.total_s * (1 - 1e-9)
    assert one.total_s >= 0.001


def test_middle_is_the_mean_of_what_heads_and_tails_say() -> None:
    def cut(head: float, tail: float) -> CutProfile:
        return CutProfile(
            head=stage(head), tail=stage(tail), frontier_bytes=1, download_bytes=1, codecs={}
        )

    # Heads say 30 ms, tails 34; noise that says less than nothing is nothing.
    assert estimate_between(cut(0.010, 0.100), cut(0.040, 0.066)) == pytest.approx(0.032)
    assert estimate_between(cut(0.010, 0.100), cut(0.009, 0.100)) == 0


def test_json_has_the_best_for_each_number_of_machines(residual_bundle: Bundle) -> None:
    graph = residual_bundle.graph
    assert graph is not None
    profile = additive(residual_bundle, [0.002] * len(graph.nodes))
    profiles = (profile, profile.scaled(0.5), profile.scaled(0.1))
    options = plan_tiers(residual_bundle, LINKS, profiles)
    document = tiers_json(residual_bundle, LINKS, profiles, options)
    assert document["best"] == document["options"][0]
    assert [o.machines for o in fastest_by_machines(options)] == [1, 2, 3]
    assert document["best_by_machines"][0]["total_s"] == pytest.approx(0.002 * len(graph.nodes))
    assert [document["profiles"][role]["scale"] for role in document["profiles"]] == [1, 0.5, 0.1]


def test_two_codecs_in_a_row_keep_to_the_limit_together(residual_bundle: Bundle) -> None:
    graph = residual_bundle.graph
    assert graph is not None
    bundle = losing(residual_bundle, {"q4": 0.75, "q2": 12.0})
    profile = additive(bundle, [0.002] * len(graph.nodes), bits={"q4": 4, "q2": 2})
    profiles = (profile, profile.scaled(0.5), profile.scaled(0.1))
    found = plan_tiers(bundle, LINKS, profiles)
    pairs = {(o.first == o.second, o.codecs, o.drop_points) for o in found}
    # 0.75 points twice are more than 1; a frame that the near edge passes on is coded once.
    assert {codecs for same, codecs, _ in pairs if not same} == {
        ("raw", "raw"), ("raw", "q4"), ("q4", "raw"),
    }  # fmt: skip
    assert (True, ("q4", "q4"), 0.75) in pairs
    wider = plan_tiers(bundle, LINKS, profiles, accuracy_drop=1.5)
    assert (False, ("q4", "q4"), 1.5) in {
        (o.first == o.second, o.codecs, o.drop_points) for o in wider
    }
    assert all("q2" not in option.codecs for option in wider)
    asked = plan_tiers(bundle, LINKS, profiles, codec="q2")
    assert any(option.codecs == ("q2", "q2") and option.drop_points == 24.0 for option in asked)


def test_limit_that_is_wider_than_the_usual_one_holds_on_both_links(
    residual_bundle: Bundle,
) -> None:
    graph = residual_bundle.graph
    assert graph is not None
    bundle = losing(residual_bundle, {"q4": 1.2})
    profile = additive(bundle, [0.002] * len(graph.nodes), bits={"q4": 4})
    profiles = (profile, profile.scaled(0.5), profile.scaled(0.1))
    for most, wanted in ((1.5, {("raw", "q4"), ("q4", "raw")}), (1.0, set())):
        found = plan_tiers(bundle, LINKS, profiles, accuracy_drop=most)
        assert {o.codecs for o in found if "q4" in o.codecs and o.first != o.second} == wanted


def test_bundle_without_its_graph_has_no_tiers(residual_bundle: Bundle) -> None:
    files = {k: f for k, f in residual_bundle.manifest.files.items() if k != "graph.json"}
    old = Bundle(residual_bundle.path, residual_bundle.manifest.model_copy(update={"files": files}))
    with pytest.raises(BundleError, match="keeps no graph"):
        heads_of(old)


def test_load_of_nothing_is_refused(residual_bundle: Bundle) -> None:
    graph = residual_bundle.graph
    assert graph is not None
    profile = additive(residual_bundle, [0.002] * len(graph.nodes))
    with pytest.raises(UsageError, match="loads"):
        plan_tiers(residual_bundle, LINKS, (profile, profile, profile), (1.0, 0.0, 1.0))
