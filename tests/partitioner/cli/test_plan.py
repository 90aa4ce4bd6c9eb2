"""`splitpoint plan` by other measures than latency, in this process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.head_export import export_heads
from partitioner.cli.main import app
from partitioner.common.units import DURATIONS, ENERGIES, ColumnUnit
from partitioner.devices.device import load_device
from partitioner.graph.work import work_of
from partitioner.profiles.profile import Profile
from protos.errors import FileError, InfeasibleError, SplitpointError, UnknownNameError, UsageError
from tests.kit.exit_models import first_cut
from tests.kit.profiles import profile_of, profile_of_heads, steady

runner = CliRunner()

LINK = ("--bandwidth", "10mbit", "--rtt", "20ms")
DEVICE = ("--device", "raspberry-pi-4", "--radio", "lte", "--fps", "5", "--price-gb", "0.09")

Command = Callable[..., Any]


@pytest.fixture(scope="session")
def profile(residual_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profiles") / "edge.json"
    steady(residual_bundle).save(path)
    return path


@pytest.fixture
def command(residual_bundle: Bundle, profile: Path) -> Command:
    def call(*words: str) -> None:
        sides = ("--edge", str(profile), "--cloud-scale", "0.2")
        app(["plan", str(residual_bundle.path), *LINK, *sides, *words], standalone_mode=False)

    return call


@pytest.fixture
def document(command: Command, capsys: pytest.CaptureFixture[str]) -> Command:
    def call(*words: str) -> Any:
        command(*words, "--json")
        return json.loads(capsys.readouterr().out)

    return call


def test_energy_of_a_device_that_one_does_not_have(
    document: Command, residual_bundle: Bundle, profile: Path
) -> None:
    planned = document(*DEVICE, "--minimize", "energy")
    best = min(planned["costs"], key=lambda costs: costs["energy_j"])
    assert planned["best"] == {"cut": best["cut"], "codec": best["codec"]}
    whole = next(option for option in planned["options"] if option["cut"] == "edge")
    measured, scale = Profile.load(profile), planned["profiles"]["edge"]["scale"]
    head, rate = measured.cuts["edge"].head, load_device("raspberry-pi-4").rate
    assert head is not None
    assert rate is not None
    assert residual_bundle.graph is not None
    resume_s = scale * (measured.resume_s + head.resume_s)
    computing_s = rate.total_s(work_of(residual_bundle.graph))
    assert whole["edge_s"] - resume_s == pytest.approx(computing_s)
    assert planned["profiles"]["edge"]["scale"] != 1
    for costs in planned["costs"]:
        assert costs["cost_month"] == pytest.approx(costs["bytes"] * 0.09e-9 * 5 * 3600 * 730)
    assert document(*DEVICE, "--edge-scale", "1")["profiles"]["edge"]["scale"] == 1


def test_infeasible_request_is_a_document_and_its_advice_works(
    command: Command, document: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InfeasibleError, match="no option meets --deadline 1.00µs, --keep-input"):
        command("--deadline", "1us", "--keep-input-local", "--json")
    (way,) = json.loads(capsys.readouterr().out)["infeasible"]["relax"]
    (change,) = way["changes"]
    assert (change["flag"], change["from"]) == ("--deadline", 1e-6)
    relaxed = document("--deadline", f"{change['to']}s", "--keep-input-local")
    assert relaxed["best"] == way["admits"]
    misses = {(costs["cut"], costs["codec"]): costs["misses"] for costs in relaxed["costs"]}
    assert misses[way["admits"]["cut"], way["admits"]["codec"]] == []
    assert "--keep-input-local" in misses["cloud", "raw"]


def test_front_as_document_table_and_picture(
    command: Command, document: Command, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    front = document(*DEVICE, "--pareto", "latency,energy")["pareto"]
    assert [point["latency"] for point in front] == sorted(point["latency"] for point in front)
    assert [point["energy"] for point in front] == sorted(
        (p["energy"] for p in front), reverse=True
    )
    plot = tmp_path / "front.png"
    weights = ("--sustained", "--weights", "latency=1,cost=9")
    command(*DEVICE, "--pareto", "latency,energy", "--plot", str(plot), *weights)
    shown = capsys.readouterr()
    assert "smallest 1·latency + 9·cost" in shown.out
    assert "no option is better in one of latency, energy" in shown.out
    assert "scaled by" in shown.err
    assert "Raspberry Pi 4" in shown.err
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_answer_comes_first_and_the_table_is_short(
    command: Command, document: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = document()["answer"]
    command()
    shown = capsys.readouterr()
    first = " ".join(shown.out.split("\n\n")[0].split())
    assert first.startswith(" ".join(answer["sentence"].split()))
    assert "options shown; --all shows the rest." in shown.err
    command("--all")
    every = capsys.readouterr()
    assert len(every.out.splitlines()) > len(shown.out.splitlines())
    assert "--all" not in every.err


def test_wide_tables_go_below_each_other_and_lose_no_number(
    command: Command, document: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = (
        *DEVICE,
        "--sustained",
        "--keep-input-local",
        "--pareto",
        "latency,energy,bytes,throughput",
    )
    costs = document(*wide)["costs"]
    command(*wide, "--all")
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    edge = costs[-1]
    for key, units in (("latency_s", DURATIONS), ("energy_j", ENERGIES)):
        assert ColumnUnit.of((one[key] for one in costs), units).write(edge[key]) in shown
    assert all(word in shown for word in ("a month", "slower", "depth", "--keep-input-local"))


@pytest.mark.parametrize(
    ("words", "kind", "sentence"),
    [
        (("--minimize", "speed"), UsageError, "Choose from: latency, p95"),
        (("--minimize", "p95", "--weights", "cost=1"), UsageError, "exclude each other"),
        (("--minimize", "energy"), UsageError, "without --device"),
        (("--max-energy", "1J"), UsageError, "without --device"),
        (("--pareto", "latency,cost"), UsageError, "without --price-worker-hour"),
        (("--pareto", "latency"), UsageError, "needs two different metrics"),
        (("--max-energy", "5"), UsageError, "Write 0.5J"),
        (("--max-edge-memory", "5"), UsageError, "Write 64MiB"),
        (("--deadline", "0ms"), UsageError, "above 0"),
        (("--min-depth", "3"), UsageError, "Give 0 to 1"),
        (("--edge-scale", "0"), UsageError, "--edge-scale 0"),
        (("--device", "abacus"), UnknownNameError, "Use one of jetson-orin-nano"),
        (("--device", "none.toml"), FileError, "none.toml cannot be read"),
        (("--radio", "lte"), UsageError, "--device NAME"),
        (("--sustained",), UsageError, "--device NAME --fps 10"),
        (("--device", "phone", "--device", "laptop"), UsageError, "--device is given 2 times"),
        (("--bandwidth", "5mbit"), UsageError, "--bandwidth is given 2 times"),
        (("--pareto", "energy,energy"), UsageError, "needs two different metrics"),
    ],
)
def test_mistake_is_answered_with_a_sentence(
    words: tuple[str, ...],
    kind: type[SplitpointError],
    sentence: str,
    command: Command,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(kind, match=sentence):
        command(*words)
    assert capsys.readouterr().out == ""


def test_plan_command_counts_exits(exiting: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    profile_of(exiting, 0.1).save(exiting.profiles / "edge.json")
    words = ["plan", str(exiting.path), "--bandwidth", "1mbit", "--rtt", "20ms"]
    words += ["--cloud-scale", "0.1"]
    documents = []
    for more in ([], ["--exits"], ["--exit-threshold", "0"]):
        app([*words, *more, "--json"], standalone_mode=False)
        documents.append(json.loads(capsys.readouterr().out))
    cut = first_cut(exiting)
    rates = [
        next(o["exit_rate"] for o in document["options"] if o["cut"] == cut)
        for document in documents
    ]
    assert rates == [0.0, exiting.exit_costs()[cut].rate, 1.0]
    app([*words, "--exits"], standalone_mode=False)
    assert "exit" in capsys.readouterr().out


def test_plan_command_knows_that_nothing_finishes_here(exiting: Bundle, tmp_path: Path) -> None:
    held = export_heads(exiting, tmp_path / "held")
    profile_of_heads(profile_of(exiting, 0.02), held).save(held.profiles / "edge.json")
    profile_of(exiting, 0.001).save(held.profiles / "cloud.json")
    words = ["plan", str(held.path), "--bandwidth", "1mbit", "--rtt", "20ms"]
    document = json.loads(runner.invoke(app, [*words, "--json"]).stdout)
    assert document["heads_only"]
    assert "edge" not in {option["cut"] for option in document["options"]}
    assert any(option["last_resort"] for option in document["options"])
    shown = runner.invoke(app, words)
    assert "This device holds heads only, and finishes no frame" in " ".join(shown.output.split())
