"""The sentences that a fleet begins with, and what it says of a worker."""

from dataclasses import replace

import pytest

from partitioner.network.link import Link
from partitioner.planning.plan import Plan, plan
from partitioner.planning.terms import Prices, Terms
from partitioner.reports.simulations.fleet import fleet_text, worker_text
from partitioner.simulation.fleet.figures import Bill
from partitioner.simulation.fleet.fleet_simulation import FleetSimulation
from partitioner.simulation.fleet.what_if import simulate_fleet
from tests.kit.profiles import EXAMPLE, make


@pytest.fixture(scope="module")
def example() -> Plan:
    bundle, profile = make(EXAMPLE)
    return plan(bundle, Link(10e6, 10e6, 0.0), profile, profile)


def simulated(example: Plan, **how: object) -> FleetSimulation:
    plain = {"devices": 4, "fps": 2.0, "seconds": 20.0, "options": "cut-01/raw"}
    return simulate_fleet(example, example.link, **{**plain, **how})  # type: ignore[arg-type]


def test_fleet_is_described_by_its_latency_and_how_busy_it_is(example: Plan) -> None:
    # 8 frames a second of 0.071 s are 57 % of a worker, less what comes after the end; 80 kbit twice a
    # second are 1.6 % of 10 Mbit/s.
    text = fleet_text(simulated(example))
    assert text.startswith("4 devices on 1 worker: ")
    assert "workers are busy 56 % of the time, uplinks 2 %; no frame is lost." in text


def test_fewest_workers_come_first_and_late_frames_are_counted(example: Plan) -> None:
    text = fleet_text(simulated(example, workers="auto", p99_s=0.2))
    assert text.startswith(
        "1 worker is the fewest that keep a p99 of 200 ms.\n4 devices on 1 worker:"
    )
    assert "0.0 % later than 200 ms" in text


def test_devices_that_do_not_keep_up_are_said_to(example: Plan) -> None:
    slow = simulated(example, options="edge", fps=20.0, window=1)
    assert "The devices do not keep up: they take 50 % of the frames that are due." in fleet_text(
        slow
    )


def test_answer_of_least_cost_names_the_bill_and_the_fastest_option(example: Plan) -> None:
    prices = Terms(prices=Prices(worker_hour=1.0, gb=0.0))
    slower = plan(example.bundle, example.link, example.edge.scaled(3), example.cloud)
    found = simulated(slower, options=None, minimize="cost", p99_s=0.5, terms=prices)
    first = fleet_text(found).splitlines()[0]
    assert first == (
        "edge is the cheapest that keeps a p99 of 500 ms: nothing a month. The fastest by itself, "
        "cloud/jpeg-75, costs at least 730.00 a month on 1 worker or more."
    )


def test_worker_is_described_by_its_machine_and_price(example: Plan) -> None:
    found = simulated(example)
    scaled = replace(found.plan, cloud=found.plan.cloud.scaled(0.2))
    billed = replace(found, plan=scaled, bill=Bill(prices=Prices(worker_hour=0.5)))
    assert worker_text(billed) == (
        "A worker takes one frame at a time, first come, first served, and decodes and computes with 1 "
        "thread of c, as the cloud's profile was measured, times 0.2. It costs 0.5 an hour, 365.00 a month, "
        "busy or not."
    )
