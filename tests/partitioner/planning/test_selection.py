"""The choice under constraints against trying every option, and what an infeasible request is told."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partitioner.bundle.accuracy import Accuracy
from partitioner.bundle.bundle import Bundle
from partitioner.common.units import parse_duration, parse_energy, parse_size
from partitioner.planning.constraints import (
    Candidate,
    Constraint,
    deadline,
    feasible,
    keep_input_local,
    max_accuracy_drop,
    max_edge_memory,
    max_energy,
    min_depth,
    relaxations,
)
from partitioner.planning.costs import Costs
from partitioner.planning.metrics import METRICS
from partitioner.planning.objective import Objective
from partitioner.planning.option import Option
from partitioner.planning.selection import select
from partitioner.planning.terms import Prices, Terms
from protos.errors import InfeasibleError, UsageError
from protos.tensors import TensorSpec
from tests.kit.plans import BOARD, RADIO, example


def candidate(
    cut: str,
    latency_s: float,
    energy_j: float,
    memory: int,
    depth: float,
    sends_input: bool = False,
    accuracy: Accuracy | None = None,
) -> Candidate:
    option = Option(
        cut=cut, codec="raw", edge_s=latency_s, upload_bytes=1, network_s=0.0, cloud_s=0.0,
        download_bytes=0, frontier_bytes=0, edge_memory_bytes=memory, cloud_memory_bytes=0,
        accuracy=accuracy,
    )  # fmt: skip
    costs = Costs(
        edge_s=latency_s, latency_s=latency_s, p95_s=latency_s, bottleneck_s=latency_s, bytes=1,
        energy_j=energy_j,
    )  # fmt: skip
    return Candidate(option, costs, depth, sends_input)


FOUND = (
    candidate("cloud", 0.050, 0.9004, 1_000_000, 0.0, sends_input=True),
    candidate("cut-01", 0.1434, 0.300, 90_000_000, 0.25),
    candidate("edge", 0.300, 0.200, 250_000_000, 1.0),
)


def sentence(*constraints: Constraint) -> str:
    with pytest.raises(InfeasibleError) as caught:
        feasible(FOUND, constraints)
    return str(caught.value)


def test_infeasible_request_says_which_single_constraint_to_relax_and_how_far() -> None:
    # cut-01 misses the deadline by 43.4 ms, the cloud the energy by 400.4 mJ; both are rounded up.
    assert sentence(deadline(0.100), max_energy(0.5)) == (
        "no option meets `deadline` 100ms, `max_energy` 500mJ. Relax one: "
        "`deadline` to 144ms (44.0ms more), which admits cut-01/raw; or "
        "`max_energy` to 901mJ (401mJ more), which admits cloud/raw."
    )
    # 25 % of the depth, where 30 were wanted; or edge, which is too late. Depths are rounded down.
    assert sentence(deadline(0.2), min_depth(0.3)) == (
        "no option meets `deadline` 200ms, `min_depth` 0.3. Relax one: "
        "`deadline` to 300ms (100ms more), which admits edge; or "
        "`min_depth` to 0.25 (0.05 less), which admits cut-01/raw."
    )
    assert sentence(deadline(0.1), keep_input_local()) == (
        "no option meets `deadline` 100ms, `keep_input_local`. Relax one: "
        "`deadline` to 144ms (44.0ms more), which admits cut-01/raw; or "
        "leave `keep_input_local` out, which admits cloud/raw."
    )


def test_infeasible_request_that_no_single_constraint_mends_names_every_pair() -> None:
    # cloud fails energy and privacy; cut-01 deadline and energy; edge deadline and memory.
    wanted = (deadline(0.1), max_energy(0.25), max_edge_memory(100_000_000), keep_input_local())
    assert sentence(*wanted) == (
        "no option meets `deadline` 100ms, `max_energy` 250mJ, `max_edge_memory` 100MB, "
        "`keep_input_local`. No single one suffices; relax 2 together: "
        "`deadline` to 144ms (44.0ms more) and `max_energy` to 300mJ (50.0mJ more), which admits "
        "cut-01/raw; or "
        "`deadline` to 300ms (200ms more) and `max_edge_memory` to 250MB (150MB more), which admits "
        "edge; or "
        "`max_energy` to 901mJ (651mJ more) and leave `keep_input_local` out, which admits cloud/raw."
    )


def test_accuracy_is_a_limit_like_the_others() -> None:
    # 197 of 200 samples agree with the whole model: 1.5 points are lost.
    lossy = Accuracy(cut="cut-02", codec="q4", samples=200, payload_bytes=1.0, agreeing=197)
    found = (*FOUND, candidate("cut-02", 0.090, 0.4, 1, 0.5, accuracy=lossy))
    with pytest.raises(InfeasibleError) as caught:
        feasible(found, (deadline(0.1), max_accuracy_drop(1.0), keep_input_local()))
    assert "`accuracy_drop` to 1.5 (0.5 more), which admits cut-02/raw" in str(caught.value)
    assert len(feasible(found, (max_accuracy_drop(1.0),))) == 3


def test_infeasible_request_is_plain_data_too() -> None:
    with pytest.raises(InfeasibleError) as caught:
        feasible(FOUND, (deadline(0.1), keep_input_local()))
    assert caught.value.exit_status == 6
    assert caught.value.document == {
        "infeasible": {
            "constraints": ["`deadline` 100ms", "`keep_input_local`"],
            "relax": [
                {
                    "changes": [{"parameter": "deadline", "from": 0.1, "to": 0.144}],
                    "admits": {"cut": "cut-01", "codec": "raw"},
                },
                {
                    "changes": [{"parameter": "keep_input_local", "from": None, "to": None}],
                    "admits": {"cut": "cloud", "codec": "raw"},
                },
            ],
        }
    }


LIMITS: dict[str, tuple[Callable[[float], Constraint], Callable[[str], float]]] = {
    "deadline": (deadline, parse_duration),
    "max_energy": (max_energy, parse_energy),
    "max_edge_memory": (max_edge_memory, parse_size),
    "min_depth": (min_depth, float),
}
seconds = st.floats(0.001, 10)
some_candidates = st.lists(
    st.builds(
        candidate, st.just("cut-01"), seconds, seconds, st.integers(1000, 10**9),
        st.floats(0.001, 1), st.booleans(),
    ),
    min_size=1, max_size=8,
)  # fmt: skip
some_constraints = st.lists(
    st.one_of(
        st.builds(deadline, seconds),
        st.builds(max_energy, seconds),
        st.builds(max_edge_memory, st.floats(1000, 1e9)),
        st.builds(min_depth, st.floats(0.001, 1)),
        st.builds(keep_input_local),
    ),
    max_size=5,
    unique_by=lambda constraint: constraint.parameter,
)


@settings(max_examples=300)
@given(some_candidates, some_constraints)
@pytest.mark.slow
def test_every_relaxation_suffices_as_it_is_written_and_none_is_left_out(
    found: list[Candidate], constraints: list[Constraint]
) -> None:
    ways = relaxations(found, constraints)
    if any(all(c.admits(one) for c in constraints) for one in found):
        return  # nothing is to be relaxed
    for way in ways:
        kept = [c for c in constraints if c not in way.constraints]
        typed = [retyped(c, way.admits) for c in way.constraints if c.write]
        assert all(c.admits(way.admits) for c in (*kept, *typed))
    # The smallest number of constraints that any candidate fails, over all candidates.
    fewest = min(sum(not c.admits(one) for c in constraints) for one in found)
    failed = {
        frozenset(c.parameter for c in constraints if not c.admits(one))
        for one in found
        if sum(not c.admits(one) for c in constraints) == fewest
    }
    assert {frozenset(c.parameter for c in way.constraints) for way in ways} == failed


def retyped(constraint: Constraint, admitted: Candidate) -> Constraint:
    """The constraint with the value that the message tells one to type."""
    assert constraint.write is not None
    make_one, parse = LIMITS[constraint.parameter]
    return make_one(parse(constraint.write(constraint.relaxed_for(admitted))))


@settings(max_examples=200)
@given(some_candidates, st.sampled_from([deadline, max_energy]), st.floats(0.001, 0.0015))
def test_single_relaxation_is_the_smallest(
    found: list[Candidate], limit: Callable[[float], Constraint], to: float
) -> None:
    constraint = limit(to)
    if any(constraint.admits(one) for one in found):
        return
    (way,) = relaxations(found, [constraint])
    assert constraint.measure(way.admits) == min(constraint.measure(one) for one in found)


def test_best_option_is_that_of_a_search_for_every_objective_and_limit() -> None:
    terms = Terms(device=BOARD, radio=RADIO, fps=5, prices=Prices(1.0, 0.1))
    made = example(head=0.08, tail=0.03)
    for uplink in (0.3e6, 3e6, 30e6, 300e6):
        moved = made.at(replace(made.link, uplink_bps=uplink))
        for objective in (*map(Objective.parse, METRICS), Objective({"latency": 1, "energy": 0.3})):
            for limits in ((), (deadline(0.25),), (max_edge_memory(999),), (min_depth(0.0),)):
                decision = select(moved, terms, objective, limits)
                scores = {
                    c.option.label: objective.score(c.costs)
                    for c in decision.candidates
                    if all(limit.admits(c) for limit in limits)
                }
                assert scores[decision.best.option.label] == min(scores.values())


def test_front_holds_the_best_of_every_metric_and_nothing_that_is_beaten() -> None:
    decision = select(example(), Terms(device=BOARD, radio=RADIO))
    front = decision.front(("latency", "energy"))
    for name in ("latency", "energy"):
        best = min(c.costs.metric(name) for c in decision.candidates)
        assert best in [c.costs.metric(name) for c in front]
    for one in decision.candidates:
        beaten = any(
            other.costs.latency_s <= one.costs.latency_s
            and other.costs.metric("energy") < one.costs.metric("energy")
            for other in decision.candidates
        )
        assert not (beaten and one in front)


def test_cut_whose_frontier_holds_an_input_sends_it() -> None:
    made = example()
    labels = {c.option.cut: c.sends_input for c in select(made).candidates}
    # The example's cut-01 sends a value of the name of the input, as a skip over the head would.
    assert labels == {"cloud": True, "cut-01": True, "edge": False}
    inner = made.bundle.manifest.cuts[0].model_copy(
        update={"frontier": (TensorSpec("y", "float32", (-1, 4)),), "head_flops": 30}
    )
    manifest = made.bundle.manifest.model_copy(update={"cuts": (inner,), "flops": 120})
    made = replace(made, bundle=Bundle(Path("m"), manifest))
    found = {c.option.cut: (c.sends_input, c.depth) for c in select(made).candidates}
    assert found == {"cloud": (True, 0.0), "cut-01": (False, 0.25), "edge": (False, 1.0)}
    assert select(made, constraints=[keep_input_local()]).best.option.cut == "edge"
    assert select(made, constraints=[min_depth(0.25)]).best.option.cut == "edge"


def test_senseless_depth_is_refused() -> None:
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="`min_depth`"):
            min_depth(share)
