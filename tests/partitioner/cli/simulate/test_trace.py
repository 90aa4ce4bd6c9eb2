"""`splitpoint simulate` as a person or a program meets it."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.exits import BundleExits
from partitioner.cli.main import app
from protos.errors import SplitpointError, UsageError
from tests.kit.documents import Simulate, document
from tests.kit.exit_models import first_cut
from tests.kit.profiles import profile_of


@pytest.mark.slow
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


def test_columns_make_a_trace_of_any_table(simulate: Simulate, tmp_path: Path) -> None:
    table = tmp_path / "drive.csv"
    table.write_text("when,bytes,ping\n0,500000,20\n1000,1000000,20\n2000,1500000,20\n")
    words = ("--rtt", "99ms", "--frames", 3, "--json")
    assert "none of the columns" in str(simulate("trace", table, *words).exception)
    columns = ("--columns", "time=when:ms,uplink=bytes:Bps,rtt=3:ms")
    made = document(simulate("trace", table, *words, *columns))
    # 4, 8 and 12 Mbit/s, a second each
    assert made["trace"]["mean_uplink_bps"] == pytest.approx(8e6)
    assert made["trace"]["duration_s"] == pytest.approx(3)


def test_trace_with_its_own_round_trips_needs_no_flag(simulate: Simulate, tmp_path: Path) -> None:
    whole = tmp_path / "walk.csv"
    whole.write_text("time_s,uplink_mbps,rtt_ms\n0,2,40\n1,3,40\n2,2,50\n")
    without = document(simulate("trace", whole, "--frames", 3, "--json"))
    assert without == document(simulate("trace", whole, "--frames", 3, "--rtt", "900ms", "--json"))
    bare = tmp_path / "bare.csv"
    bare.write_text("time_s,uplink_mbps\n0,2\n1,3\n")
    assert "says no round trip" in str(simulate("trace", bare, "--frames", 3).exception)


def test_trace_as_a_table_says_what_was_chosen(simulate: Simulate, tram: Path) -> None:
    done = simulate("trace", tram, "--rtt", "20ms", "--frames", 20, "--all")
    assert done.exception is None
    assert "20 frames every 200 ms over tram.txt" in done.stdout
    assert "clairvoyant: " in done.stdout
    assert "scaled by 0.1" in done.stderr


def test_bytes_of_looks_are_in_rows_and_json(simulate: Simulate, tmp_path: Path) -> None:
    slow = tmp_path / "slow.txt"
    slow.write_text("0 20\n4 0.3\n12 20\n20 20\n")
    found = document(
        simulate("trace", slow, "--rtt", "20ms", "--csv", tmp_path / "f.csv", "--json")
    )
    by_policy = {run["policy"]: run["look_bytes"] for run in found["policies"]}
    assert by_policy.pop("adaptive") > 0
    assert set(by_policy.values()) == {0.0}  # the others have nothing to find out
    with (tmp_path / "f.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if float(row["look_bytes"])]
    assert all(row["policy"] == "adaptive" for row in rows)
    assert all(float(row["look_bytes"]) <= float(row["upload_bytes"]) for row in rows)


def test_hedged_frames_are_counted_in_table_rows_and_json(
    simulate: Simulate, tmp_path: Path
) -> None:
    dark = tmp_path / "dark.txt"
    dark.write_text("0 20\n4 0\n7 20\n12 20\n")
    words = ("trace", dark, "--rtt", "20ms", "--csv", tmp_path / "f.csv")
    found = document(simulate(*words, "--json"))
    (adaptive,) = [run for run in found["policies"] if run["policy"] == "adaptive"]
    assert adaptive["hedged"] >= adaptive["hedges_won"] >= 1
    with (tmp_path / "f.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["hedged"] == "1"]
    assert {row["policy"] for row in rows} == {"adaptive"}
    assert len(rows) == adaptive["hedged"]
    assert sum(row["served_by"] == "edge" for row in rows) == adaptive["hedges_won"]
    assert "hedged" in simulate(*words).stdout
    off = document(simulate(*words, "--hedge", "off", "--json"))
    assert {run["hedged"] for run in off["policies"]} == {0}
    assert "a hedge of 'soon' is none" in str(simulate(*words, "--hedge", "soon").exception)


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
    assert runs["edge"]["energy_j"] == pytest.approx(0.1 * 1.85)  # a core: 0.8 + 4.2 / 4 W
    least = min(by_label.values(), key=lambda costs: costs["energy_j"])
    assert runs["adaptive"]["energy_j"] == pytest.approx(least["energy_j"])


@pytest.mark.slow
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


def test_simulated_trace_moves_thresholds_and_shows_who_exits(
    exiting: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile_of(exiting, 0.1).save(exiting.profiles / "edge.json")
    known = exiting.known_exits()
    quick = {
        cut: replace(found, meta=found.meta.model_copy(update={"head_share": 0.1}))
        for cut, found in known.by_cut.items()
    }
    meta = known.meta.model_copy(update={"exits": tuple(found.meta for found in quick.values())})
    BundleExits(meta, quick).save(exiting.path)
    (tmp_path / "t.txt").write_text("0 0.2\n5 0.2\n10 0.2\n")
    words = ["simulate", "trace", str(exiting.path), str(tmp_path / "t.txt"), "--rtt", "20ms"]
    words += ["--cloud-scale", "0.1", "--frames", "20"]
    app([*words, "--exit-threshold", "0", "--csv", str(tmp_path / "f.csv")], standalone_mode=False)
    shown = capsys.readouterr().out
    assert "exit" in shown
    assert "100.0" in shown
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
