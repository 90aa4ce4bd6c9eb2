"""The command simulate fleet."""

import csv
import json
from pathlib import Path

import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.graph.work import WorkKind, work_of
from protos.errors import InfeasibleError, SplitpointError
from tests.kit.documents import Simulate, document


def test_fleet_has_intervals_and_a_bill(simulate: Simulate, tram: Path, tmp_path: Path) -> None:
    made = document(
        simulate(
            "fleet", "--trace", tram, "--rtt", "20ms", "--devices", 6, "--share", 2, "--workers", "auto",
            "--p99", "2s", "--duration", "60s", "--runs", 3, "--option", "cloud/raw", "--option", "edge",
            "--device", "raspberry-pi-4", "--price-worker-hour", 0.5, "--price-gb", 0.1,
            "--csv", tmp_path / "r.csv", "--plot", tmp_path / "f.png", "--json",
        )
    )  # fmt: skip
    assert made["fleet"]["options"] == ["cloud/raw", "edge"]
    assert made["fleet"]["workers"] == 1
    figures = made["figures"]
    assert 0.1 < figures["p99_s"]["mean"] <= 2
    assert figures["p99_s"]["ci95"] > 0
    assert figures["cost_a_month"]["mean"] > 0.5 * 730
    assert figures["energy_j_a_frame"]["mean"] > 0
    assert made["frames"] == pytest.approx(3 * 6 * 60, rel=0.02)
    with (tmp_path / "r.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["p99_s"]) for row in rows] == [run["p99_s"] for run in made["runs"]]
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")


def test_default_option_of_a_fleet_is_planned_for_the_traces_own_columns(
    simulate: Simulate, tmp_path: Path
) -> None:
    # 20 ms of round trip were asked for, and the trace says 2 s.
    far = tmp_path / "far.csv"
    far.write_text("time_s,uplink_mbps,downlink_mbps,rtt_ms\n0,100,100,2000\n1,100,100,2000\n")
    words = ("--rtt", "20ms", "--devices", 1, "--duration", "20s", "--json")
    assert document(simulate("fleet", "--trace", far, *words))["fleet"]["options"] == ["edge"]
    near = document(simulate("fleet", "--bandwidth", "100mbit", *words))
    assert near["fleet"]["options"] != ["edge"]


def test_trace_with_its_own_round_trips_needs_no_flag(simulate: Simulate, tmp_path: Path) -> None:
    whole = tmp_path / "walk.csv"
    whole.write_text("time_s,uplink_mbps,rtt_ms\n0,2,40\n1,3,40\n2,2,50\n")
    words = ("--devices", 1, "--duration", "20s", "--json")
    without = document(simulate("fleet", "--trace", whole, *words))
    assert without == document(simulate("fleet", "--trace", whole, "--rtt", "900ms", *words))


@pytest.mark.parametrize(
    "also", [("--bandwidth", "1mbit", "--rtt", "9ms"), ("--link", "1mbit,9ms")]
)
def test_uplinks_that_are_said_twice_are_named(
    simulate: Simulate, tram: Path, also: tuple[str, ...]
) -> None:
    refused = simulate("fleet", "--trace", tram, *also)
    assert str(refused.exception).startswith(
        f"{also[0]} and --trace both say the uplinks. Give one"
    )


def test_columns_make_the_uplinks_of_a_fleet_from_any_table(
    simulate: Simulate, tmp_path: Path
) -> None:
    table = tmp_path / "drive.csv"
    table.write_text("when,bits,ping\n0,100000,2000\n1000,100000,2000\n")
    words = ("--rtt", "20ms", "--devices", 1, "--duration", "20s", "--json")
    columns = ("--columns", "time=when:ms,uplink=bits:kbps")
    near = document(simulate("fleet", "--trace", table, *words, *columns))
    assert near["fleet"]["options"] != ["edge"]
    columns = ("--columns", "time=when:ms,uplink=bits:kbps,rtt=ping:ms")
    far = document(simulate("fleet", "--trace", table, *words, *columns))
    assert far["fleet"]["options"] == ["edge"]  # the round trip takes 2 s
    refused = simulate("fleet", "--bandwidth", "1mbit", *words, *columns)
    assert "--columns are of a trace's file" in str(refused.exception)


def test_device_scales_the_fleet_as_it_does_a_plan(
    simulate: Simulate, residual_bundle: Bundle, tmp_path: Path
) -> None:
    mine = tmp_path / "slow.toml"
    # Memory has no bound. The whole model takes 100 ms on what was profiled, 300 ms at a third of that rate.
    assert residual_bundle.graph is not None
    products = [w.flops for w in work_of(residual_bundle.graph) if w.kind is not WorkKind.MEMORY]
    rate = sum(products) / 0.3 / 1e9
    mine.write_text(
        'title = "s"\nidle_w = 1.0\ncompute_w = 3.0\n[[throughput]]\nmemory_gb_s = 1e9\n'
        f"dense_gflops = {rate}\ndepthwise_gflops = {rate}\n"
    )
    words = ("--bandwidth", "1mbit", "--rtt", "20ms", "--devices", 1, "--duration", "20s", "--json",
             "--option", "edge", "--device", mine)  # fmt: skip

    def p50_s(*more: object) -> float:
        found: float = document(simulate("fleet", *words, *more))["figures"]["p50_s"]["mean"]
        return found

    scaled_s, own_s = p50_s(), p50_s("--edge-scale", 1)
    assert scaled_s == pytest.approx(3 * own_s)


def test_fleet_as_a_table(simulate: Simulate) -> None:
    done = simulate(
        "fleet", "--bandwidth", "5mbit", "--rtt", "20ms", "--devices", 3, "--duration", "20s"
    )
    assert done.exception is None
    assert "3 devices" in " ".join(done.stdout.split())
    assert "p99" in done.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "a fleet needs uplinks. Give --link 20mbit,50ms, or --trace FILE"),
        (["--bandwidth", "1mbit", "--trace", "TRAM"], "--bandwidth and --trace both say"),
        (["--bandwidth", "1mbit", "--fps", 0], "--fps 0.0"),
        (["--bandwidth", "1mbit", "--minimize", "cots"], "'cots' cannot be minimised. Did you mean cost?"),
        (["--bandwidth", "1mbit", "--minimize", "cost", "--p99", "1s"], "--price-worker-hour"),
        (["--bandwidth", "1mbit", "--minimize", "cost", "--price-gb", 1], "--minimize cost needs"),
        (["--bandwidth", "1mbit", "--minimize", "cost", "--price-gb", 1, "--workers", 2], "--workers 2"),
        (["--bandwidth", "1mbit", "--workers", "auto"], "--p99 200ms"),
        (["--bandwidth", "1mbit", "--workers", "many"], "no number of workers"),
        (["--bandwidth", "1mbit", "--workers", "²"], "no number of workers"),
        (["--bandwidth", "1mbit", "--option", "cut-99/raw"], "no option 'cut-99/raw'"),
        (["--bandwidth", "1mbit", "--radio", "lte"], "--radio needs the device"),
        (["--bandwidth", "1mbit", "--device", "abacus"], "abacus"),
        (["--bandwidth", "1mbit", "--price-gb", -1], "--price-gb -1"),
        (["--bandwidth", "1mbit", "--duration", "0s"], "duration above 0"),
    ],
)  # fmt: skip
def test_mistakes_about_fleets_are_answered(
    words: list[object], sentence: str, simulate: Simulate, tram: Path
) -> None:
    line = (tram if word == "TRAM" else word for word in words)
    done = simulate("fleet", "--rtt", "20ms", *line, "--json")
    assert isinstance(done.exception, SplitpointError)
    assert sentence in str(done.exception)
    assert done.stdout == ""


def test_cheapest_fleet_is_found_over_options_and_workers(simulate: Simulate) -> None:
    # The edge takes 0.1 s and so keeps the p99 with no worker at all; four times as slow it does not.
    words = ("fleet", "--bandwidth", "10mbit", "--rtt", "20ms", "--devices", 30, "--fps", 2, "--duration",
             "20s", "--minimize", "cost", "--p99", "300ms", "--price-worker-hour", 0.5, "--json")  # fmt: skip
    local = document(simulate(*words))
    assert local["fleet"]["options"] == ["edge"]
    assert local["fleet"]["workers"] == local["figures"]["cost_a_month"]["mean"] == 0
    crossing = document(simulate(*words, "--edge-scale", 4))
    assert crossing["fleet"]["workers"] == crossing["figures"]["workers"]["mean"] >= 1
    assert crossing["figures"]["p99_s"]["mean"] <= 0.3
    assert crossing["worker"]["price_month"] == pytest.approx(365.0)
    fates = {one["fate"] for one in crossing["considered"]}
    assert "chosen" in fates
    assert "late" in fates  # the edge


def test_cheapest_fleet_as_a_table(simulate: Simulate) -> None:
    done = simulate(
        "fleet", "--bandwidth", "10mbit", "--rtt", "20ms", "--devices", 30, "--fps", 2, "--duration", "20s",
        "--minimize", "cost", "--p99", "300ms", "--price-worker-hour", 0.5, "--edge-scale", 4,
    )  # fmt: skip
    assert done.exception is None
    shown = " ".join(done.stdout.split())
    assert "is the cheapest that keeps a p99 of 300 ms" in shown
    assert "A worker takes one frame at a time" in shown
    assert "considered" in shown


def test_p99_that_nothing_keeps_names_the_nearest_miss(simulate: Simulate) -> None:
    done = simulate(
        "fleet", "--bandwidth", "1mbit", "--rtt", "20ms", "--duration", "20s", "--workers", "auto", "--p99",
        "1ms", "--json",
    )  # fmt: skip
    assert isinstance(done.exception, InfeasibleError)
    assert "no number of workers brings the p99 to 1 ms. The nearest is" in str(done.exception)
    nearest = json.loads(done.stdout)["infeasible"]["nearest"]
    assert nearest["p99_s"] > 0.02
