"""`simulate_fleet`: what Python callers ask of a fleet."""

import json

import pytest

from partitioner.network.link import Link
from partitioner.network.trace import Trace
from partitioner.planning.plan import Plan, plan
from partitioner.planning.terms import Prices, Terms
from partitioner.simulation.fleet.what_if import simulate_fleet
from protos.errors import UnknownNameError, UsageError
from tests.kit.profiles import EXAMPLE, make

PRICED = Terms(prices=Prices(worker_hour=0.5, gb=0.1))


@pytest.fixture(scope="module")
def example() -> Plan:
    bundle, profile = make(EXAMPLE)
    return plan(bundle, Link(10e6, 10e6, 0.01), profile.scaled(3), profile)


def test_cheapest_fleet_is_found_over_all_options(example: Plan) -> None:
    # On the edge a frame takes 0.3 s; of the others cut-01 takes 0.071 s of a worker, the cloud's 0.1.
    found = simulate_fleet(
        example,
        "10mbit,10ms",
        devices=20,
        fps=1,
        seconds=20,
        minimize="cost",
        p99_s=0.28,
        terms=PRICED,
    )
    assert found.fleet.label == "cut-01/raw"
    assert found.workers == 2
    assert found.cost_a_month == pytest.approx(
        2 * 365 + 0.1 * 11e3 * 20 * 3600 * 730 / 1e9, rel=0.02
    )
    assert found.figures["p99_s"].mean <= 0.28
    told = json.loads(json.dumps(found.to_dict()))
    assert told["worker"]["price_hour"] == 0.5
    assert {one["options"][0] for one in told["considered"]} == {
        "cut-01/raw", "cloud/jpeg-75", "cloud/raw", "edge",
    }  # fmt: skip
    assert "cut-01/raw" in str(found)
    assert found._repr_html_().count("<tr>") == len(found.provision.considered) + 1  # type: ignore[union-attr]


def test_given_options_go_to_the_devices_in_turn(example: Plan) -> None:
    found = simulate_fleet(
        example, example.link, devices=4, seconds=10, options=["edge", "cut-01/raw"], runs=2
    )
    assert [demand.label for demand in found.fleet.demands] == ["edge", "cut-01/raw"]
    assert len(found.runs) == 2
    assert found.figures["p99_s"].half_width is not None
    assert found.provision is None
    assert found.cost_a_month is None
    assert "given" in str(found)
    assert repr(found).startswith(
        "<FleetSimulation of 4 devices with edge, cut-01/raw on 1 worker: p99 "
    )


def test_workers_are_as_few_as_keep_the_p99_in_every_run(example: Plan) -> None:
    heard: list[str] = []
    found = simulate_fleet(
        example, example.link, devices=20, seconds=10, options="cut-01/raw", workers="auto", p99_s=0.4,
        runs=2, on_progress=lambda what, _done, _total: heard.append(what),
    )  # fmt: skip
    assert found.workers == 2
    assert all(run.keeps(0.4) for run in found.runs)
    assert "cut-01/raw on 2 workers, run 1 of 2" in heard


def test_device_of_a_shared_uplink_plans_for_its_part() -> None:
    shared = Trace.constant(Link(30e6, 50e6, 0.02)).mean_link(10)
    assert shared == Link(3e6, 50e6, 0.02)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"minimize": "energy"}, "'energy' cannot be minimised"),
        ({"minimize": "cost", "p99_s": 0.1}, "price_worker_hour"),
        ({"minimize": "cost", "terms": PRICED}, "`minimize` cost needs to know what for"),
        (
            {"minimize": "cost", "terms": PRICED, "p99_s": 1.0, "workers": 3},
            "`workers` 3 cannot be kept",
        ),
        ({"workers": "auto"}, "`workers` auto needs to know what for"),
        ({"workers": "many"}, "`workers` is 'many'"),
        ({"workers": 0}, "0 workers serve nobody"),
        ({"fps": 0}, "`fps` 0"),
        ({"fps": "two"}, "`fps` is 'two'"),
        ({"runs": 0}, "0 runs show nothing"),
        ({"p99_s": 0.0, "workers": "auto"}, "`p99_s` 0s is over before it starts"),
    ],
)
def test_senseless_questions_are_answered(
    how: dict[str, object], sentence: str, example: Plan
) -> None:
    with pytest.raises(UsageError) as raised:
        simulate_fleet(example, example.link, **how)  # type: ignore[arg-type]
    assert sentence in str(raised.value)


def test_unknown_option_is_named(example: Plan) -> None:
    with pytest.raises(UnknownNameError, match="cut-99"):
        simulate_fleet(example, example.link, options="cut-99/raw")
