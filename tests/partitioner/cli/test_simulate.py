"""`splitpoint simulate` as a person or a program meets it."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.exits import BundleExits
from partitioner.cli.main import app
from partitioner.profiles.profile import CutProfile, Profile
from protos.errors import SplitpointError, UsageError
from tests.kit.exit_models import first_cut
from tests.kit.profiles import MACHINE, codec, profile_of, stage

Simulate = Callable[..., Result]


@pytest.fixture
def measured(residual_bundle: Bundle, tmp_path: Path) -> Path:
    """A profile of the bundle with round numbers: the whole model takes 100 ms, cut by cut."""
    names = list(residual_bundle.cuts)
    cuts = {}
    for place, name in enumerate(names):
        share = place / (len(names) - 1)
        crossing = round(40_000 * (1 - share))
        cuts[name] = CutProfile(
            head=stage(0.1 * share) if share else None,
            tail=stage(0.1 * (1 - share)) if share < 1 else None,
            frontier_bytes=crossing,
            download_bytes=500 if crossing else 0,
            codecs={"raw": codec(crossing, 0.001 if crossing else 0, 0.001 if crossing else 0)},
        )
    profile = Profile(
        splitpoint="0", bundle=residual_bundle.name, bundle_digest=residual_bundle.digest,
        machine=MACHINE, measured_at="2026-01-01T00:00:00+00:00", inputs="given", cuts=cuts,
    )  # fmt: skip
    path = tmp_path / "edge.json"
    profile.save(path)
    return path


@pytest.fixture
def simulate(residual_bundle: Bundle, measured: Path, tmp_path: Path) -> Simulate:
    def call(what: str, *words: object) -> Result:
        profiles = ["--edge", str(measured), "--cloud-scale", "0.1"]
        line = ["simulate", what, str(residual_bundle.path), *map(str, words), *profiles]
        return CliRunner().invoke(app, line)

    return call


def document(done: Result) -> Any:
    """One JSON document and nothing else on stdout."""
    assert done.exception is None, done.exception
    return json.loads(done.stdout)


@pytest.fixture
def tram(tmp_path: Path) -> Path:
    path = tmp_path / "tram.txt"
    path.write_text("".join(f"{second} {8 if second % 20 < 10 else 0.8}\n" for second in range(60)))
    return path


def test_trace_compares_all_policies(simulate: Simulate, tram: Path, tmp_path: Path) -> None:
    made = document(
        simulate(
            "trace", tram, "--rtt", "20ms", "--fps", 4, "--deadline", "120ms",
            "--csv", tmp_path / "f.csv", "--plot", tmp_path / "t.png", "--json",
        )
    )  # fmt: skip
    assert made["frames"] == 240
    assert made["trace"]["mean_uplink_bps"] == pytest.approx(4.4e6)
    by_name = {policy["policy"]: policy for policy in made["policies"]}
    assert {"edge", "cloud/raw", "adaptive", "clairvoyant"} <= set(by_name)
    assert by_name["edge"]["mean_s"] == pytest.approx(0.1)
    assert by_name["edge"]["missed_share"] == 0
    fixed = [p["mean_s"] for name, p in by_name.items() if name not in ("adaptive", "clairvoyant")]
    assert by_name["clairvoyant"]["mean_s"] <= min(fixed) + 1e-9
    with (tmp_path / "f.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 240 * len(by_name)
    assert {row["policy"] for row in rows} == set(by_name)
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")


def test_trace_as_a_table_says_what_was_chosen(simulate: Simulate, tram: Path) -> None:
    done = simulate("trace", tram, "--rtt", "20ms", "--frames", 20, "--all")
    assert done.exception is None
    assert "20 frames every 200 ms over tram.txt" in done.stdout
    assert "clairvoyant: " in done.stdout
    assert "scaled by 0.1" in done.stderr


def test_joules_and_money_of_fixed_options_on_a_steady_link_are_the_plans(
    simulate: Simulate, residual_bundle: Bundle, measured: Path, tmp_path: Path
) -> None:
    steady = tmp_path / "steady.txt"
    steady.write_text("0 5\n1 5\n2 5\n")
    terms = ("--device", "phone", "--edge-scale", 1, "--price-worker-hour", 360, "--price-gb", 2)
    words = ("--rtt", "20ms", "--fps", 2, *terms, "--minimize", "energy", "--json")
    found = document(simulate("trace", steady, "--frames", 6, "--all", *words))
    assert found["objective"] == {"energy": 1.0}
    line = ["plan", residual_bundle.path, "--bandwidth", "5mbit", *words, "--edge", measured]
    line += ["--cloud-scale", 0.1]
    planned = document(CliRunner().invoke(app, [str(word) for word in line]))
    by_label = {
        "edge" if c["cut"] == "edge" else f"{c['cut']}/{c['codec']}": c for c in planned["costs"]
    }
    runs = {run["policy"]: run for run in found["policies"]}
    for label, costs in by_label.items():
        assert runs[label]["energy_j"] == pytest.approx(costs["energy_j"])
        assert runs[label]["cost"] == pytest.approx(costs["cost"])
    assert runs["edge"]["energy_j"] == pytest.approx(0.1 * 5.0)  # 100 ms at 5 W
    least = min(by_label.values(), key=lambda costs: costs["energy_j"])
    assert runs["adaptive"]["energy_j"] == pytest.approx(least["energy_j"])


def test_adaptive_policy_minimises_what_is_asked(simulate: Simulate, tram: Path) -> None:
    found = document(
        simulate("trace", tram, "--rtt", "20ms", "--frames", 20, "--minimize", "bytes", "--json")
    )
    (adaptive,) = [run for run in found["policies"] if run["policy"] == "adaptive"]
    assert adaptive["options"] == {"edge": 1.0}
    assert adaptive["energy_j"] is adaptive["cost"] is None
    table = simulate(
        "trace", tram, "--rtt", "20ms", "--frames", 20, "--weights", "latency=1,energy=0.2",
        "--device", "phone", "--edge-scale", 1,
    )  # fmt: skip
    assert table.exception is None, table.exception
    assert "adaptive minimises 1·latency + 0.2·energy" in " ".join(table.stdout.split())
    assert "energy" in table.stdout


def test_sweep_lists_every_point(simulate: Simulate, tmp_path: Path) -> None:
    grid = ("--bandwidth", "0.1mbit:100mbit:20", "--rtt", "5ms:200ms:4", "--edge-scale", "1:16:3")
    files = ("--csv", tmp_path / "p.csv", "--plot", tmp_path / "s.png")
    made = document(simulate("sweep", *grid, *files, "--json"))
    assert len(made["points"]) == 20 * 4 * 3
    assert {point["option"] for point in made["points"]} >= {"edge", "cloud/raw"}
    with (tmp_path / "p.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["option"] for row in rows] == [point["option"] for point in made["points"]]
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    table = simulate("sweep", *grid)
    assert "240 points" in table.stdout
    wrong = simulate("sweep", "--bandwidth", "fast", "--json")
    assert isinstance(wrong.exception, SplitpointError)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["missing.txt", "--rtt", "20ms"], "missing.txt cannot be read"),
        (["TRAM", "--rtt", "20ms", "--fps", -1], "--fps -1.0 has no meaning"),
        (["TRAM", "--rtt", "20ms", "--fps", 0], "Say how many"),
        (["TRAM", "--rtt", "20ms", "--fps", 100_000], "Say how many of them"),
        (["TRAM", "--rtt", "20ms", "--cloud-load", 0], "--cloud-load 0.0 has no meaning"),
        (["TRAM", "--rtt", "20ms", "--timeout", "0s"], "timeout of 0.0 s"),
        (["TRAM", "--rtt", "20"], "20ms"),
        (["TRAM", "--rtt", "20ms", "--down", "0mbit"], "above 0"),
        (["TRAM", "--rtt", "20ms", "--trace-format", "pcap"], "no trace format"),
        (["TRAM", "--rtt", "20ms", "--trace-format", "mahimahi"], "whole number of milliseconds"),
        (["TRAM", "--rtt", "20ms", "--at-end", "stop"], "loop or hold"),
        (["TRAM", "--rtt", "20ms", "--codec", "zip"], "zip"),
        (["TRAM", "--rtt", "20ms", "--minimize", "energy"], "without --device"),
        (["TRAM", "--rtt", "20ms", "--device", "toaster"], "no device 'toaster'"),
        (["TRAM", "--rtt", "20ms", "--frames", 2, "--csv", "nowhere/x.csv"], "nowhere/x.csv"),
        (["TRAM", "--rtt", "20ms", "--frames", 2, "--plot", "nowhere/x.png"], "nowhere/x.png"),
    ],
)
def test_mistakes_are_answered(
    words: list[object], sentence: str, simulate: Simulate, tram: Path
) -> None:
    done = simulate("trace", *(tram if word == "TRAM" else word for word in words), "--json")
    assert isinstance(done.exception, SplitpointError)
    assert sentence in str(done.exception)
    assert done.stdout == ""


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


def test_device_scales_the_fleet_as_it_does_a_plan(
    simulate: Simulate, residual_bundle: Bundle, tmp_path: Path
) -> None:
    mine = tmp_path / "slow.toml"
    # The whole model takes 100 ms on what was profiled, and 300 ms at a third of its rate.
    gflops = residual_bundle.manifest.flops / 0.3 / 1e9
    mine.write_text(f'title = "s"\nidle_w = 1.0\ncompute_w = 3.0\ngflops = {gflops}\n')
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
        ([], "either --bandwidth 20mbit or --trace FILE"),
        (["--bandwidth", "1mbit", "--trace", "TRAM"], "either"),
        (["--bandwidth", "1mbit", "--fps", 0], "--fps 0.0"),
        (["--bandwidth", "1mbit", "--workers", "auto"], "--p99 200ms"),
        (["--bandwidth", "1mbit", "--workers", "many"], "no number of workers"),
        (["--bandwidth", "1mbit", "--workers", "²"], "no number of workers"),
        (["--bandwidth", "1mbit", "--option", "cut-99/raw"], "no option 'cut-99/raw'"),
        (["--bandwidth", "1mbit", "--radio", "lte"], "--radio needs the device"),
        (["--bandwidth", "1mbit", "--device", "abacus"], "abacus"),
        (["--bandwidth", "1mbit", "--price-gb", -1], "--price-gb -1"),
        (["--bandwidth", "1mbit", "--duration", "0s"], "duration above 0"),
        (["--bandwidth", "1mbit", "--duration", "20s", "--workers", "auto", "--p99", "1ms"],
         "no number of workers brings the p99 to 1 ms"),
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


def test_help_has_an_example() -> None:
    for command in ("sweep", "trace", "fleet"):
        done = CliRunner().invoke(app, ["simulate", command, "--help"])
        assert f"Example: splitpoint simulate {command}" in done.stdout


def test_simulated_trace_moves_thresholds_and_shows_who_exits(
    exiting: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile_of(exiting, 0.1).save(exiting.profiles / "edge.json")
    known = exiting.known_exits()
    quick = {
        cut: replace(found, meta=found.meta.model_copy(update={"head_share": 0.1}))
        for cut, found in known.exits.items()
    }
    meta = known.meta.model_copy(update={"exits": tuple(found.meta for found in quick.values())})
    BundleExits(meta, quick).save(exiting.path)
    (tmp_path / "t.txt").write_text("0 0.2\n5 0.2\n10 0.2\n")
    words = ["simulate", "trace", str(exiting.path), str(tmp_path / "t.txt"), "--rtt", "20ms"]
    words += ["--cloud-scale", "0.1", "--frames", "20"]
    app([*words, "--exit-threshold", "0", "--csv", str(tmp_path / "f.csv")], standalone_mode=False)
    shown = capsys.readouterr().out
    assert "exit" in shown
    assert "100.0 %" in shown
    cut = first_cut(exiting)
    rows = list(csv.DictReader((tmp_path / "f.csv").read_text().splitlines()))
    fixed = [row for row in rows if row["policy"] == f"{cut}/raw"]
    assert {(row["exits_from"], row["served_by"]) for row in fixed} == {("0.0", "exit")}
    # Everything takes 100 ms here, so that a deadline of 200 ms needs no early answer.
    auto = ["--exit-threshold", "auto", "--deadline", "200ms", "--exit-floor", "0.9"]
    app([*words, *auto, "--json"], standalone_mode=False)
    policies = json.loads(capsys.readouterr().out)["policies"]
    adaptive = next(found for found in policies if found["policy"] == "adaptive")
    assert (adaptive["exit_share"], adaptive["missed_share"]) == (0.0, 0.0)
    with pytest.raises(UsageError, match="bounds a threshold that moves"):
        app([*words, "--exit-threshold", "own", "--exit-floor", "0.9"], standalone_mode=False)
    with pytest.raises(UsageError, match="is no exit threshold"):
        app([*words, "--exit-threshold", "often"], standalone_mode=False)
