"""How far an answer holds where times were scaled and not measured: factors by hand."""

from dataclasses import replace

import pytest

from partitioner.devices.throughput import Throughput
from partitioner.network.link import Link
from partitioner.planning.constraints import deadline
from partitioner.planning.guesses import (
    BY_HAND_RANGE,
    Guess,
    GuessKind,
    guesses,
    ranking_survives,
    reach_of,
    stretched,
    survives,
)
from partitioner.planning.plan import Plan, plan
from partitioner.planning.selection import select
from partitioner.planning.terms import Prices, Terms
from tests.kit.plans import BOARD, example
from tests.kit.profiles import codec, make

RATED = BOARD.model_copy(
    update={
        "throughput": (
            Throughput(dense_gflops=9, depthwise_gflops=2, memory_gb_s=1, low=0.5, high=3.0),
        )
    }
)
# On the example's link: cut-01 takes 62.5 + 131 + 24 = 217.5 ms, the edge 200, the cloud 531.


def guess(role: str, low: float, high: float) -> Guess:
    return Guess(role, GuessKind.FACTOR, 2.0, low, high)


def edge_only(head_s: float, scale: float, cloud_at: str = "another time") -> Plan:
    """A model whose best is the edge; its times are `scale` times those that were measured."""
    bundle, profile = make(
        {
            "cloud": (0.0, 0.1, {"raw": codec(1e9)}),
            "edge": (head_s / scale, 0.0, {"raw": codec(0)}),
        }
    )
    cloud = profile.model_copy(update={"measured_at": cloud_at})
    return plan(bundle, Link(1e6, 1e6, 0.03), profile.scaled(scale), cloud)


def test_answer_holds_up_to_the_factor_at_which_two_options_take_the_same() -> None:
    selection = select(example())
    assert selection.best.option.cut == "edge"
    edge = reach_of(selection, guess("edge", 0.5, 2.0))
    # 200 f = 62.5 f + 155
    assert (edge.same_from, edge.same_to) == (0.5, pytest.approx(155 / 137.5, rel=1e-5))
    assert edge.at_low is not None
    assert edge.at_high is not None
    assert [edge.at_low.option.cut, edge.at_high.option.cut] == ["edge", "cut-01"]
    # 193.5 + 24 f = 200
    cloud = reach_of(selection, guess("cloud", 0.25, 2.0))
    assert (cloud.same_from, cloud.same_to) == (pytest.approx(6.5 / 24, rel=1e-5), 2.0)


def test_answer_is_sought_again_on_its_own_terms() -> None:
    selection = select(example(), Terms(prices=Prices(worker_hour=1.0)), "cost")
    found = reach_of(
        selection, guess("cloud", 0.5, 2.0)
    )  # the edge costs nothing, whatever a worker takes
    assert (found.same_from, found.same_to) == (0.5, 2.0)


def test_answer_that_breaks_a_limit_at_an_end_has_none_there() -> None:
    selection = select(example(), constraints=[deadline(0.21)])
    found = reach_of(selection, guess("edge", 0.5, 2.0))
    assert found.at_high is None
    assert found.same_to == pytest.approx(1.05, rel=1e-5)


def test_answer_that_holds_for_each_side_may_not_hold_for_both_at_once() -> None:
    selection = select(example())
    edge, cloud = guess("edge", 0.9, 1.1), guess("cloud", 0.5, 2.0)
    # 220 and 68.75 + 155 = 223.75; 200 and 193.5 + 12 = 205.5; together 220 and 211.75.
    assert survives(selection, [edge])
    assert survives(selection, [cloud])
    assert not survives(selection, [edge, cloud])
    assert survives(selection, [])


def test_times_of_a_side_are_stretched_and_no_others() -> None:
    known = example()
    known = replace(known, options=tuple(replace(o, exit_s=0.001) for o in known.options))
    for before, after in zip(known.options, stretched(known, 3.0, 5.0).options, strict=True):
        wanted = replace(
            before,
            edge_s=3 * before.edge_s,
            exit_s=0.003,
            handing_s=3 * before.handing_s,
            encode_s=3 * before.encode_s,
            cloud_s=5 * before.cloud_s,
        )
        assert after.to_dict() == pytest.approx(wanted.to_dict())
        assert after.encode_s == pytest.approx(wanted.encode_s)


def test_sides_that_were_not_measured_are_guesses() -> None:
    measured = edge_only(0.1, 1.0)
    assert guesses(measured) == ()
    scaled = edge_only(0.1, 2.0)
    assert guesses(scaled) == (Guess("edge", GuessKind.FACTOR, 2.0, *BY_HAND_RANGE),)
    assert guesses(scaled, RATED) == (Guess("edge", GuessKind.THROUGHPUT, 2.0, 0.5, 3.0),)
    assert guesses(scaled, BOARD) == guesses(scaled)
    assumed = edge_only(0.1, 1.0, measured.edge.measured_at)
    assert guesses(assumed) == (Guess("cloud", GuessKind.ASSUMED, 1.0, *BY_HAND_RANGE),)
    other = replace(measured, cloud=measured.cloud.scaled(0.5))
    assert guesses(other) == (Guess("cloud", GuessKind.FACTOR, 0.5, *BY_HAND_RANGE),)


@pytest.mark.parametrize(
    ("second_s", "by_hand", "by_device"),
    [
        (0.090, False, False),  # it is the faster one
        (0.110, True, False),  # a factor is off by the same for both
        (0.590, True, False),  # 100 ms may be 300, and 590 be 295
        (0.610, True, True),  # 300 and 305
    ],
)
def test_order_of_two_models_survives_what_one_machine_may_be_off_by(
    second_s: float, by_hand: bool, by_device: bool
) -> None:
    first, second = edge_only(0.100, 2.0), edge_only(second_s, 2.0)
    assert ranking_survives(first, second) is by_hand
    assert ranking_survives(first, second, RATED) is by_device


def test_order_of_a_guessed_and_a_measured_model_survives_at_the_worst_end() -> None:
    measured = edge_only(0.100, 1.0)
    assert ranking_survives(measured, edge_only(0.210, 2.0))  # may be 105
    assert not ranking_survives(measured, edge_only(0.190, 2.0))  # may be 95
    assert ranking_survives(edge_only(0.049, 2.0), measured)  # may be 98
    assert not ranking_survives(edge_only(0.051, 2.0), measured)
