"""Waiting by the formulas: against their definitions, by hand, and against the simulated fleet."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partitioner.network.link import Link
from partitioner.network.trace import Trace
from partitioner.profiles.variation import Variation
from partitioner.simulation.demand import Demand
from partitioner.simulation.fleet.simulator import run_fleet
from partitioner.simulation.sizing.engine import MeasuredRequest, ServingEngine
from partitioner.simulation.sizing.estimate import estimate_p99_s, unqueued
from partitioner.simulation.sizing.layout import Layout, Workload
from partitioner.simulation.sizing.load import ALONE, FleetLoad, MachineKind
from partitioner.simulation.sizing.queue_wait import erlang_c, waiting

FREE = ServingEngine(
    name="free", measured=(MeasuredRequest(tail_s=0.01, request_bytes=0, request_cpu_s=0.01),)
)
LINK = Trace.constant(Link(1e9, 1e9, 0.01))


@given(st.integers(1, 30), st.floats(0.01, 0.99))
def test_erlang_c_is_its_definition(workers: int, used: float) -> None:
    load = used * workers
    all_busy = load**workers / math.factorial(workers) / (1 - used)
    fewer = sum(load**k / math.factorial(k) for k in range(workers))
    assert erlang_c(workers, load) == pytest.approx(all_busy / (fewer + all_busy))


def test_erlang_c_of_thousands_of_workers_overflows_nowhere() -> None:
    assert 0 < erlang_c(5000, 4950.0) < 1


def test_wait_for_one_worker_is_pollaczek_and_khinchines() -> None:
    rate, service_s, cv2 = 8.0, 0.1, 0.25
    found = waiting(1, rate, service_s, cv2)
    wanted = rate * service_s**2 * (1 + cv2) / (2 * (1 - rate * service_s))
    assert found.share * found.mean_s == pytest.approx(wanted)
    assert waiting(1, 10.0, 0.1).mean_s == math.inf


def test_percentile_is_that_of_an_exponential_wait_on_top() -> None:
    found = waiting(2, 15.0, 0.1)
    alone = found.percentile_s(99, np.array([0.0]))
    assert alone == pytest.approx(found.mean_s * math.log(found.share / 0.01))
    assert found.percentile_s(99, np.array([0.3])) == pytest.approx(0.3 + alone)
    drawn = np.random.default_rng(0)
    unqueued_s = drawn.uniform(0, 1, 200_000)
    waits_s = drawn.exponential(found.mean_s, 200_000) * (drawn.random(200_000) < found.share)
    sampled_s = float(np.percentile(unqueued_s + waits_s, 99))
    assert found.percentile_s(99, unqueued_s) == pytest.approx(sampled_s, rel=0.01)


@pytest.mark.parametrize(("workers", "used"), [(1, 0.6), (4, 0.8), (16, 0.9), (16, 0.6)])
def test_estimate_is_on_the_safe_side_of_the_simulated_fleet_and_not_far(
    workers: int, used: float
) -> None:
    varying = Variation((0.6, 0.8, 0.9, 1.0, 1.0, 1.1, 1.3, 1.9))
    demand = Demand("cut/raw", 0.01, 1000, 0.02, 100, cloud_variation=varying)
    load = FleetLoad(1, 2.0, 1.0)
    layout = Layout.of(FREE, Workload(demand, 1, 0), MachineKind(workers, processes=1), ALONE)
    assert layout
    devices = round(used * layout.frames_per_s / load.fps)
    fleet = layout.fleet(devices, load, LINK, 8_000)
    unqueued_s = unqueued(fleet)
    assert unqueued_s is not None
    simulated_s = run_fleet(fleet).latency_s(99)
    estimated_s = estimate_p99_s(layout, devices, load.fps, unqueued_s)
    assert 0.93 * simulated_s <= estimated_s <= 1.8 * simulated_s
