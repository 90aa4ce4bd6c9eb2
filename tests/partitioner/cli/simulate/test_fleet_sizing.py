"""The command simulate fleet with --engine: machines and their bill for each serving engine."""

import csv
import json
from functools import partial
from pathlib import Path

import pytest

from partitioner.simulation.sizing import load
from protos.errors import UsageError
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
