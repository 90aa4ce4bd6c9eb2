"""What a frame costs, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from partitioner.network.link import Link
from partitioner.network.trace import Trace
from partitioner.planning.costs import price
from partitioner.planning.terms import Prices, Terms
from partitioner.profiles.variation import quantile_of_sum
from partitioner.simulation.demand import demands_of
from partitioner.simulation.pipeline import Setup
from partitioner.simulation.replay import Fixed, run_policy
from tests.kit.plans import BOARD, RADIO, costs_of, example


def test_latency_bytes_and_money_by_hand() -> None:
    found = costs_of(example(), Terms(prices=Prices(worker_hour=0.5, gb=0.09)))
    # 62.5 ms; 30 ms + 1 Mbit / 10 Mbit/s + 8,000 bit / 8 Mbit/s = 131 ms; 24 ms.
    assert found.latency_s == pytest.approx(0.0625 + 0.131 + 0.024)
    assert found.bytes == 126_000
    # 24 ms of a worker at 0.5 an hour, and 126 kB at 0.09 a GB.
    assert found.money == pytest.approx(0.5 * 0.024 / 3600 + 0.09 * 126e-6)
    # 10 frames a second are 26.28 million in 730 hours.
    assert found.monthly(10) == pytest.approx(26.28e6 * found.money)


def test_p95_by_hand() -> None:
    made = example(head=0.060 * 1.05**1.2816)
    # A lognormal with 1.05 a deviation: 62.5 ms of the device take 1.05^1.6449 times as long at the p95.
    assert costs_of(made, Terms()).p95_s == pytest.approx(0.0625 * 1.05**1.6449 + 0.155, rel=1e-4)
    assert costs_of(made, Terms(), "edge").p95_s == pytest.approx(0.200)
    # Both machines, of which nobody is ever faster than the median: against drawing it.
    both = example(head=0.060 * 1.05**1.2816, tail=0.020 * 1.2**1.2816)
    here, there = np.maximum(np.random.default_rng(0).standard_normal((2, 400_000)), 0)
    drawn = 0.0625 * 1.05**here + 0.024 * 1.2**there
    wanted = 0.131 + float(np.quantile(drawn, 0.95))
    assert costs_of(both, Terms()).p95_s == pytest.approx(wanted, rel=1e-3)


def test_p95_is_that_of_the_frames_that_were_measured() -> None:
    # One frame in ten takes three times as long on the device, and none does in the cloud: at the p95
    # the device is late. With a cloud that is late as rarely, both together are late with 1 %, one of them
    # with 18 %: the p95 is that of the slower one alone, the device's 125 ms more.
    made = example()
    late = (1.0,) * 9 + (3.0,)
    factors = tuple(np.quantile(late, (np.arange(1000) + 0.5) / 1000, method="inverted_cdf"))
    edge = made.edge.model_copy(update={"frame_factors": factors})
    cloud = made.cloud.model_copy(update={"frame_factors": factors})
    slow_edge, both = replace(made, edge=edge), replace(made, edge=edge, cloud=cloud)
    assert costs_of(made, Terms()).p95_s == pytest.approx(0.2175)
    assert costs_of(slow_edge, Terms()).p95_s == pytest.approx(0.2175 + 0.125, rel=0.01)
    assert costs_of(both, Terms()).p95_s == pytest.approx(0.2175 + 0.125, rel=0.01)


@pytest.mark.slow
def test_p95_of_a_plan_is_that_of_the_simulator() -> None:
    made = example()
    edge, cloud = (
        profile.model_copy(update={"frame_factors": factors})
        for profile, factors in (
            (made.edge, (0.8, 0.9, 1.0, 1.1, 1.9)),
            (made.cloud, (0.7, 1.0, 1.0, 1.3, 2.5)),
        )
    )
    varied = replace(made, edge=edge, cloud=cloud)
    setup = Setup(Trace.constant(made.link), 10.0, 1, 9.0, seed=3)
    for label, demand in demands_of(varied).items():
        option = next(o for o in varied.options if o.label == label)
        run = run_policy(setup, Fixed(demand), 20_000)
        assert run.latency_s(50) == pytest.approx(
            quantile_of_sum(
                (option.edge_s, demand.edge_variation),
                (option.cloud_s, demand.cloud_variation),
                0.5,
            )
            + option.network_s,
            rel=0.005,
        )
        assert run.latency_s(95) == pytest.approx(price(option, varied, Terms()).p95_s, rel=0.01)


def test_throughput_is_that_of_the_slowest_stage() -> None:
    made = example()
    # The uplink takes 100 ms a frame, the edge 62.5, the cloud 24; the round trip is no stage.
    assert costs_of(made, Terms()).throughput_fps == pytest.approx(10)
    assert costs_of(made.at(Link(100e6, 8e6, 9.0)), Terms()).throughput_fps == pytest.approx(16)
    # The cut cloud: 400 ms up; on a faster link 100 ms in the cloud, a quarter with four workers.
    assert costs_of(made, Terms(), "cloud").throughput_fps == pytest.approx(2.5)
    fast = made.at(Link(1e9, 1e9, 0.0))
    assert costs_of(fast, Terms(), "cloud").throughput_fps == pytest.approx(10)
    assert costs_of(fast, Terms(workers=4), "cloud").throughput_fps == pytest.approx(40)


def test_energy_by_hand() -> None:
    found = costs_of(example(), Terms(device=BOARD, radio=RADIO))
    # 62.5 ms at 6 W; 1 Mbit at 0.5 J, 0.008 Mbit at 0.1 J, 131 ms at 1 W, a tail of 300 ms at
    # 0.8 W; 155 ms of waiting at 2 W.
    assert found.energy_j == pytest.approx(0.375 + (0.5 + 0.0008 + 0.131 + 0.24) + 0.310)


def test_sustained_load_slows_the_edge_alone() -> None:
    terms = Terms(device=BOARD, radio=RADIO, fps=10, sustained=True)
    made = example(head=0.060 * 1.2**1.2816)
    found = costs_of(made, terms)
    # As in the thermal test: 10 frames of 62.5 ms a second settle at 0.8 of the speed.
    assert found.slowdown == pytest.approx(1.25)
    assert found.edge_s == pytest.approx(0.078125)
    assert found.latency_s == pytest.approx(0.078125 + 0.131 + 0.024)
    warm_p95_s = 0.078125 * 1.2**1.6449
    assert found.p95_s == pytest.approx(warm_p95_s + 0.131 + 0.024, rel=1e-3)
    # 78.125 ms at 2 + 4 * 0.64 W; no gap of the radio is longer than the cloud's 24 ms.
    assert found.energy_j == pytest.approx(0.078125 * 4.56 + 0.651 + 0.310)
    assert costs_of(made, terms, "cloud").slowdown == 1
