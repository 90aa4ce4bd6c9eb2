"""The command simulate fleet with --engine: machines and their bill for each serving engine."""

import csv
import json
from functools import partial
from pathlib import Path

import pytest

from partitioner.simulation.sizing import load
from protos.errors import InfeasibleError, UsageError
from tests.kit.documents import Simulate, document

FLEET = ("fleet", "--link", "100mbit,10ms", "--devices", 400, "--fps", 2, "--p99", "150ms",
         "--option", "cloud/raw", "--option", "edge")  # fmt: skip
MACHINES = ("--machine-cores", 2, "--price-machine-hour", 0.5, "--price-gb", 0.1, "--spare", 1)


def test_engines_are_ranked_by_their_bills(
    simulate: Simulate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "Sampling", partial(load.Sampling, frames=1000))
    path = tmp_path / "mine.json"
    mine = {"engine": "mine", "tail_s": 0, "request_bytes": 0, "request_cpu_s": 0.03}
    path.write_text(json.dumps([mine]))
    words = (*FLEET, *MACHINES, "--engine", "triton", "--engines", path)
    made = document(simulate(*words, "--csv", tmp_path / "rows.csv", "--json"))
    assert made["load"]["devices"] == 400
    triton, own = made["engines"]
    assert (triton["engine"], own["engine"]) == ("triton", "mine")
    # 800 frames a second of 10 and some ms: 8 cores and more are busy, and a machine may be lost.
    assert 6 <= triton["machines"] < own["machines"]
    traffic = 0.1 * 40_500 * 800 * 3600 * 730 / 1e9
    assert triton["cost_a_month"] == pytest.approx(365 * triton["machines"] + traffic, rel=0.01)
    assert triton["p99_degraded_s"]["mean"] <= 0.15
    assert made["edge_alone"]["keeps"] is True
    with (tmp_path / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["machines"]) for row in rows] == [triton["machines"], own["machines"]]
    shown = simulate(*words)
    assert "Devices alone keep it as well (p99 100 ms), and cost nothing" in " ".join(
        shown.stdout.split()
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--engine", "triton", "--workers", 3), "--workers is of a fleet on workers"),
        (("--engine", "triton", "--minimize", "cost"), "--minimize is of a fleet on workers"),
        (("--engine", "triton", "--duration", "1h"), "--duration is of a fleet on workers"),
        (("--engine", "triton", "--runs", "3"), "--runs is of a fleet on workers"),
        (("--engine", "triton", "--price-worker-hour", 1), "--price-worker-hour is of a fleet on"),
        (("--engine", "triton", "--plot", "p.png"), "of which there is no picture"),
        (("--spare", 1), "machines are found for serving engines"),
        (("--machine-cores", 8), "machines are found for serving engines"),
        (("--engine", "tritn"), "Did you mean triton"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(
    simulate: Simulate, more: tuple[object, ...], said: str
) -> None:
    refused = simulate(*FLEET, *more)
    assert refused.exit_code != 0
    assert said in str(refused.exception)


def test_bound_has_to_be_said(simulate: Simulate) -> None:
    refused = simulate("fleet", "--link", "100mbit,10ms", "--engine", "triton")
    assert isinstance(refused.exception, UsageError)
    assert "Give --p99 300ms" in str(refused.exception)


def test_bound_that_nothing_keeps_ends_with_the_nearest_miss(simulate: Simulate) -> None:
    # 40 kB on a 10 Mbit/s uplink take 32 ms, and both ways of the link 20 ms: no cloud is within 40 ms.
    words = ("fleet", "--link", "10mbit,20ms", "--devices", 20, "--fps", 2, "--p99", "40ms",
             "--option", "cloud/raw", "--option", "edge",
             "--engine", "triton", "--engine", "kserve")  # fmt: skip
    made = simulate(*words, "--json")
    assert isinstance(made.exception, InfeasibleError)
    assert made.exception.exit_status == 6
    told = json.loads(made.stdout)
    nearest = told["infeasible"]["nearest"]
    by_engine = {one["engine"]: one["p99_s"]["mean"] for one in told["engines"]}
    assert nearest["engine"] == min(by_engine, key=by_engine.__getitem__)
    assert nearest["p99_s"] == min(by_engine.values())
    alone_s = 40_000 * 8 / 10e6 + 0.02 + 0.01  # link, and a tenth of 100 ms in the cloud
    assert alone_s < nearest["p99_s"] < alone_s + 0.01
    shown = simulate(*words)
    assert "late: no number of machines keeps the p99" in " ".join(shown.stdout.split())
    assert f"{1e3 * by_engine['kserve']:.0f} ms" in shown.stdout
    assert "The nearest is triton with cloud/raw" in str(shown.exception)
    assert "Devices alone: 100 ms." in str(shown.exception)


def test_cloud_that_is_no_faster_than_devices_buys_nothing(simulate: Simulate) -> None:
    words = ("fleet", "--link", "1mbit,20ms", "--devices", 4, "--fps", 0.5, "--p99", "900ms",
             "--option", "cloud/raw", "--option", "edge", "--engine", "triton")  # fmt: skip
    shown = simulate(*words)
    assert "That cloud would buy nothing: its p99 is" in " ".join(shown.stdout.split())
