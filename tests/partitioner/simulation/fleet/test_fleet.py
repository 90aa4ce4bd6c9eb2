"""Fleets: against the pipeline of one device, queueing theory, and hand."""

import json
import math
import random
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partitioner.devices.device import Device
from partitioner.devices.radio import Radio
from partitioner.network.link import Link
from partitioner.network.step_function import Steps
from partitioner.network.trace import Trace
from partitioner.planning.terms import Prices
from partitioner.profiles.variation import Variation
from partitioner.simulation.demand import Demand
from partitioner.simulation.fleet.event_clock import Clock
from partitioner.simulation.fleet.figures import Bill, measures, summarise
from partitioner.simulation.fleet.fleet import Fleet
from partitioner.simulation.fleet.queues import Cloud
from partitioner.simulation.fleet.simulator import run_fleet, run_within
from partitioner.simulation.pipeline import Setup
from partitioner.simulation.replay import Fixed, run_policy
from protos.errors import UsageError

CLOUDY = Demand("cut-01/raw", 0.1, 125_000, 0.05, 12_500)
VARYING = Variation((0.8, 0.9, 1.0, 1.1, 1.9))
STEADY = Trace.constant(Link(1e6, 10e6, 0.02))


def fleet(**changes: object) -> Fleet:
    plain = Fleet((CLOUDY,), STEADY, 1, 2.0, 4, 1, duration_s=10.0, varied=False)
    return replace(plain, **changes)


DEMANDS = st.builds(
    Demand,
    st.just("x"),
    st.floats(0.001, 0.3),
    st.sampled_from([0.0, 1e3, 2e4, 2e5]),
    st.floats(0.001, 0.3),
    st.sampled_from([0.0, 1e3, 5e4]),
)


@given(
    DEMANDS,
    st.lists(st.sampled_from([0.0, 0.2, 1.0, 5.0]), min_size=1, max_size=5),
    st.sampled_from([0.05, 0.2, 1.0]),
    st.integers(1, 4),
    st.integers(1, 3),
)
@settings(max_examples=80)
def test_fleet_of_one_is_the_pipeline(
    demand: Demand, rates: list[float], period_s: float, window: int, workers: int
) -> None:
    up = Steps([float(i) for i in range(len(rates) + 1)], [1e6 * r for r in [*rates, 2.0]], 7.0)
    trace = Trace("t", up).filled(0.03, 4e6)
    one = run_fleet(
        fleet(demands=(demand,), trace=trace, period_s=period_s, window=window, workers=workers)
    )
    setup = Setup(trace, period_s, window, 1e6, workers)
    alone = run_policy(setup, Fixed(demand), len(one.latencies_s) + 1)
    assert alone.passages[-1].arrived_at >= 10.0 - 1e-9  # the fleet took all that came in time
    wanted = sorted(alone.latencies_s[:-1].tolist())
    assert sorted(one.latencies_s.tolist()) == pytest.approx(wanted, abs=1e-6)
    if demand.crosses:
        passages = alone.passages[:-1]
        for name in ("network_s", "queue_s", "cloud_s"):
            wanted_mean = sum(getattr(p, name) for p in passages) / len(passages)
            assert getattr(one, name) == pytest.approx(wanted_mean, abs=1e-6)


def test_messages_share_an_uplink_equally() -> None:
    # 1 Mbit/s. A (1 Mbit) starts at 0.1 and is alone until B (0.25 Mbit) starts at 0.6. Then each has
    # 0.5 Mbit/s: B is through after 0.5 s, at 1.1; A has 0.25 Mbit left, and is through at 1.35.
    # 10 ms to the cloud, 50 ms there, 10 ms for 12,500 bytes down, 10 ms back: 0.08 s more.
    small = Demand("b", 0.6, 31_250, 0.05, 12_500)
    run = run_fleet(fleet(demands=(CLOUDY, small), devices=2, share=2, workers=2, duration_s=1.0))
    assert sorted(run.latencies_s.tolist()) == pytest.approx([1.18, 1.43])
    # On uplinks of their own: 0.1 + 1 and 0.6 + 0.25.
    run = run_fleet(fleet(demands=(CLOUDY, small), devices=2, workers=2, duration_s=1.0))
    assert sorted(run.latencies_s.tolist()) == pytest.approx([0.93, 1.18])


def test_many_equal_messages_share_as_one() -> None:
    # 50 messages of 1 Mbit on 50 Mbit/s, all at 0.1 s: all are through a second later, at 1.1.
    wide = Trace.constant(Link(50e6, 1e9, 0.0))
    crowd = fleet(trace=wide, devices=50, share=50, workers=50, duration_s=1.0)
    run = run_fleet(crowd)
    assert run.latencies_s == pytest.approx(np.full(50, 1.1 + 0.05 + 0.1e6 / 1e9))
    assert run.uplink_share == pytest.approx(0.9)  # 0.9 s of the second that is counted
    assert run.in_time == 0


@pytest.mark.slow
def test_wait_for_one_of_three_workers_matches_erlang_c() -> None:
    """M/M/3 at a load of 0.8: Poisson arrivals, exponential service."""
    random_, clock, waits = random.Random(3), Clock(), []
    cloud = Cloud(clock, 3, 1, 1.0)

    class Sink:
        def is_computed(self, frame: SimpleNamespace, started_at: float) -> None:
            waits.append(started_at - frame.came_at)

    moment = 0.0
    for _ in range(60_000):
        moment += random_.expovariate(3 * 0.8)
        frame = SimpleNamespace(
            device=Sink(), demand=Demand("x", 0, 1, 1.0, 0), came_at=moment,
            cloud_factor=random_.expovariate(1.0),
        )  # fmt: skip
        clock.call_at(moment, cloud.arrive, frame)
    clock.run()
    # Erlang C: with a = λ/μ = 2.4, P(wait) = a³/3!/(1 − 0.8) / (1 + a + a²/2 + a³/3!/(1 − 0.8)), and
    # Wq = P(wait) / (3 − 2.4).
    full = 2.4**3 / 6 / 0.2
    chance = full / (1 + 2.4 + 2.4**2 / 2 + full)
    assert np.mean([wait > 0 for wait in waits]) == pytest.approx(chance, rel=0.05)
    assert np.mean(waits) == pytest.approx(chance / 0.6, rel=0.1)
    assert cloud.busy_s / (3 * clock.now) == pytest.approx(0.8, rel=0.02)


def test_worker_takes_a_batch_of_one_option() -> None:
    # Four devices at once on fast links, heads of 0.1 s, 0.02 s of RTT: all are there at 0.11. The worker
    # takes the first alone until 0.16; then "a" and "a" of the rest together: 0.05 · 1.5, until 0.235;
    # then "b" until 0.285. Answers take 10 ms.
    fast = Trace.constant(Link(1e12, 1e12, 0.02))
    a = Demand("a", 0.1, 1, 0.05, 1)
    b = Demand("b", 0.1, 1, 0.05, 1)
    batching = fleet(
        demands=(a, a, b, a), trace=fast, devices=4, batch=2, batch_cost=0.5, duration_s=1.0
    )
    run = run_fleet(batching)
    assert sorted(run.latencies_s.tolist()) == pytest.approx([0.17, 0.245, 0.245, 0.295])
    assert run.batches == 3
    assert run.busy_s == pytest.approx(0.175)


def test_frames_that_never_get_through_are_counted() -> None:
    dead = Trace("t", Steps([0.0, 3.0], [2e6, 0.0], 4.0, "hold")).filled(0.02, 1e6)
    run = run_fleet(fleet(trace=dead))
    # Frames are taken at 0, 2, 4, 6 and 8 s, four at a time; those of 4 s and later never come.
    assert (len(run.latencies_s), run.lost) == (2, 3)
    assert run.missed(10.0) == pytest.approx(3 / 5)


def test_equal_seeds_give_equal_runs() -> None:
    spread = replace(CLOUDY, edge_variation=VARYING, cloud_variation=VARYING)
    varied = fleet(demands=(spread,), devices=5, share=2, varied=True)
    one, same = run_fleet(varied, seed=4, run=1), run_fleet(varied, seed=4, run=1)
    assert one.latencies_s.tolist() == same.latencies_s.tolist()
    assert one.latencies_s.tolist() != run_fleet(varied, seed=4, run=2).latencies_s.tolist()
    assert one.latencies_s.tolist() != run_fleet(varied, seed=5, run=1).latencies_s.tolist()


def test_fleet_of_one_whose_times_vary_is_the_pipeline_whose_times_do() -> None:
    # Frames every 0.2 s, 1 Mbit of 10 Mbit/s: none waits for another, so both are sums of two draws.
    spread = replace(CLOUDY, edge_s=0.04, edge_variation=VARYING, cloud_variation=VARYING)
    link = Trace.constant(Link(10e6, 10e6, 0.02))
    one = run_fleet(
        fleet(demands=(spread,), trace=link, period_s=0.5, duration_s=5_000.0, varied=True)
    )
    alone = run_policy(Setup(link, 0.5, 4, 1e6, seed=0), Fixed(spread), 10_000)
    for percent in (10, 50, 95):
        assert one.latency_s(percent) == pytest.approx(alone.latency_s(percent), rel=0.01)
    assert one.latencies_s.mean() == pytest.approx(alone.mean_s, rel=0.005)


def test_run_is_given_up_once_more_are_late_than_a_p99_allows() -> None:
    # Frames every 2 s take 1.18 s each (see above): none is later than 1.2 s, all are later than 1.1 s.
    assert run_within(fleet(), 1.2) is not None
    heard: list[float] = []
    assert run_within(fleet(duration_s=2000.0), 1.1, on_time=heard.append) is None
    assert max(heard) < 60.0  # 1 % of 1,000 frames are late after 22 s or so


def test_fleet_whose_devices_skip_frames_keeps_no_p99() -> None:
    # A head takes 3 s, and frames are due every 2 s: with a window of one a third of them is skipped.
    slow = Demand("edge", 3.0, 0, 0.0, 0)
    run = run_fleet(fleet(demands=(slow,), window=1, duration_s=60.0))
    assert run.latency_s(99) == pytest.approx(3.0)
    assert run.taken_share == pytest.approx(2 / 3, abs=0.05)
    assert not run.keeps(5.0)


def test_lost_frames_count_against_a_p99() -> None:
    dead = Trace("t", Steps([0.0, 3.0], [2e6, 0.0], 4.0, "hold")).filled(0.02, 1e6)
    assert not run_fleet(fleet(trace=dead)).keeps(10.0)


def test_fleets_with_other_options_and_workers_meet_the_same_frames() -> None:
    # Heads of 0.2 s with the same draws, and an uplink so fast that a frame takes little beside its head.
    link = Trace.constant(Link(1e12, 1e12, 0.0))
    first = Demand("a", 0.2, 1, 1e-9, 1, edge_variation=VARYING, cloud_variation=VARYING)
    asked = fleet(demands=(first,), trace=link, devices=3, varied=True)
    other = replace(asked, demands=(replace(first, label="b", upload_bytes=9),), workers=7)
    one, two = (sorted(run_fleet(each, seed=2).latencies_s) for each in (asked, other))
    assert one == pytest.approx(two, abs=1e-6)


def test_fleet_that_stays_on_the_edge_pays_no_worker() -> None:
    local = fleet(demands=(Demand("edge", 0.4, 0, 0.0, 0),), workers=3)
    found = measures(run_fleet(local), None, Bill(prices=Prices(worker_hour=1.0, gb=1.0)))
    assert found["workers"] == 0
    assert found["cost_a_month"] == 0


def test_interval_over_runs_by_hand() -> None:
    # 1, 2, 3: mean 2, standard deviation 1, t = 4.303 for 2 degrees of freedom: 4.303 / √3.
    found = summarise([{"p99_s": value} for value in (1.0, 2.0, 3.0)])["p99_s"]
    assert found.mean == 2
    assert found.half_width == pytest.approx(4.303 / math.sqrt(3))
    assert summarise([{"p99_s": 1.0}])["p99_s"].half_width is None


def test_bill_and_energy_by_hand() -> None:
    # A frame every 2 s for 10 s: 5 frames of 137,500 bytes in 10 s are 68,750 bytes a second, and
    # in 730 h 180.675 GB. Two workers at 0.5 an hour: 730.
    bill = Bill(
        Device(title="d", idle_w=1.0, compute_w=5.0),
        Radio(title="r", upload_w_per_mbps=0.5, download_w_per_mbps=0.1, active_w=1.0),
        Prices(worker_hour=0.5, gb=0.1),
    )
    found = measures(run_fleet(fleet(workers=2)), 1.0, bill)
    assert found["traffic_bytes_a_month"] == pytest.approx(68_750 * 3600 * 730)
    assert found["cost_a_month"] == pytest.approx(730 + 18.0675)
    # 0.1 s of head at 5 W; 1 Mbit up at 0.5 J, 0.1 Mbit down at 0.1 J; 1.03 s of network at 1 W for the
    # radio and 1 W idle; 0.05 s idle in the cloud.
    assert found["energy_j_a_frame"] == pytest.approx(0.5 + 0.5 + 0.01 + 1.03 + 1.08)
    assert found["mean_s"] == pytest.approx(0.1 + 1.0 + 0.02 + 0.05 + 0.01)
    assert found["missed_share"] == 1.0
    assert found["cloud_share"] == pytest.approx(5 * 0.05 / 20)


def test_energy_of_a_mixed_fleet_is_the_mean_of_its_parts() -> None:
    local = Demand("edge", 0.4, 0, 0.0, 0)
    bill = Bill(
        Device(title="d", idle_w=1.0, compute_w=5.0),
        Radio(title="r", upload_w_per_mbps=0.5, download_w_per_mbps=0.1, active_w=1.0,
              tail_w=1.0, tail_s=3.0),
    )  # fmt: skip

    def energy_j(*demands: Demand) -> float:
        run = run_fleet(fleet(demands=demands, devices=2, workers=2))
        return measures(run, None, bill)["energy_j_a_frame"]

    assert energy_j(local) == pytest.approx(0.4 * 5.0)
    assert energy_j(local, CLOUDY) == pytest.approx((energy_j(local) + energy_j(CLOUDY)) / 2)


def test_only_what_happens_within_the_duration_is_counted() -> None:
    # Heads end at 0.1 s, messages of 0.01 s each arrive by 0.12, and each takes a worker 0.6 s: it is busy
    # from 0.12 s to the end of the second, has one result at 0.72 + 0.02, and the other three come later.
    slow = Demand("s", 0.1, 12_500, 0.6, 12_500)
    link = Trace.constant(Link(10e6, 10e6, 0.02))
    run = run_fleet(fleet(demands=(slow,), trace=link, devices=4, duration_s=1.0))
    assert len(run.latencies_s) == 4
    assert (run.cloud_share, run.in_time) == (pytest.approx(1 - 0.12), 1)
    assert run.uplink_share == pytest.approx(0.01)
    found = measures(run, None, Bill())
    assert found["fps"] == 1


def test_month_has_the_traffic_that_is_due_or_what_devices_keep_up_with() -> None:
    # 4 devices that take a frame of 25,000 bytes every 2 s: 50,000 bytes a second.
    light = Demand("s", 0.1, 12_500, 0.01, 12_500)
    link = Trace.constant(Link(10e6, 10e6, 0.02))
    keeping = fleet(demands=(light,), trace=link, devices=4, duration_s=10.0)
    found = measures(run_fleet(keeping), None, Bill())
    assert found["traffic_bytes_a_month"] == pytest.approx(50_000 * 3600 * 730)
    # A tail of 4 s on one worker: it hands 0.25 frames a second at most.
    behind = run_fleet(replace(keeping, demands=(replace(light, cloud_s=4.0),), duration_s=60.0))
    assert not behind.keeps_rate
    found = measures(behind, None, Bill())
    assert found["traffic_bytes_a_month"] == pytest.approx(25_000 * found["fps"] * 3600 * 730)
    assert found["fps"] == pytest.approx(0.25, rel=0.1)


def test_run_without_any_result_is_refused() -> None:
    dead = Trace("t", Steps([0.0, 1.0], [1e3, 0.0], 4.0, "hold")).filled(0.02, 1e6)
    with pytest.raises(UsageError, match="no frame of a run of 10 s has a result; 4 were begun"):
        run_fleet(fleet(trace=dead))


def test_senseless_fleets_are_refused() -> None:
    for wrong in ({"devices": 0}, {"workers": 0}, {"share": 0}, {"batch": 0}, {"window": 0},
                  {"period_s": 0.0}, {"duration_s": 0.0}, {"batch_cost": -1.0}):  # fmt: skip
        with pytest.raises(UsageError):
            fleet(**wrong)
    with pytest.raises(UsageError, match="filled"):
        run_fleet(fleet(trace=Trace("t", Steps([0.0], [1e6], 1.0))))


def test_run_shows_itself_in_a_line_and_a_small_table() -> None:
    run = run_fleet(fleet(devices=3, workers=2))
    found = run.to_dict()
    assert found["devices"] == 3
    assert found["p99_s"] == run.latency_s(99)
    assert json.loads(json.dumps(found)) == found
    assert len(repr(run)) < 120
    assert len(str(run)) < 1000
    assert run._repr_html_().count("<tr>") == len(str(run).splitlines()) - 1
