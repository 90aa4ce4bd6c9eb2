"""`splitpoint show`: what is in a bundle, and what of it is stale."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.head_export import export_heads
from partitioner.bundle.manifest import write_manifest
from partitioner.cli.main import app
from partitioner.profiles.profile import Profile
from partitioner.profiles.profiler import measure_profile
from tests.kit.exit_models import exit_cuts

DIGITS = Path(__file__).parents[3] / "examples" / "digits" / "bundle"


def show(path: Path, *more: str) -> str:
    done = CliRunner().invoke(app, ["show", str(path), *more], env={"COLUMNS": "160"})
    assert done.exception is None, done.exception
    return done.stdout


def squeezed(text: str) -> str:
    """Leave out the spaces and line ends that a terminal puts into long lines."""
    return "".join(text.split())


def document(path: Path) -> Any:
    return json.loads(show(path, "--json"))


@pytest.fixture
def profiled(residual_bundle: Bundle, tmp_path: Path) -> Bundle:
    shutil.copytree(residual_bundle.path, tmp_path / "net")
    bundle = Bundle.load(tmp_path / "net")
    measure_profile(bundle, budget_s=0).save(bundle.profiles / "edge.json")
    return bundle


def test_facts_of_the_demo_are_all_there() -> None:
    demo, found = Bundle.load(DIGITS), document(DIGITS)
    assert (found["digest"], found["flops"]) == (demo.digest, demo.manifest.flops)
    assert found["macs"] == demo.manifest.flops // 2
    files = sum(path.stat().st_size for path in DIGITS.rglob("*") if path.is_file())
    profiles = sum(path.stat().st_size for path in DIGITS.glob("profiles/*"))
    assert found["disk_bytes"] == files - (DIGITS / "bundle.json").stat().st_size
    assert profiles <= found["disk_bytes"]
    assert {exit_["cut"] for exit_ in found["exits"]["exits"]} == {"cut-04", "cut-07", "cut-11"}
    assert found["calibration"]["measured"][0]["range_samples"] == [256]
    assert {"q2", "q6"} <= set(found["calibration"]["codecs"])


def test_white_of_a_camera_is_shown_where_it_is_said(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    shutil.copytree(residual_bundle.path, tmp_path / "net")
    manifest = residual_bundle.manifest
    inputs = tuple(replace(spec, white=4095) for spec in manifest.inputs)
    write_manifest(tmp_path / "net", manifest.model_copy(update={"inputs": inputs}))
    assert "4,095 in images of more than 8 bits" in show(tmp_path / "net")
    assert document(tmp_path / "net")["inputs"][0]["white"] == 4095
    assert "white" not in show(residual_bundle.path)
    assert "white" not in document(residual_bundle.path)["inputs"][0]


def test_people_read_layers_machines_and_what_is_missing(profiled: Bundle) -> None:
    shown = squeezed(show(profiled.path))
    machine = Profile.load(profiled.profiles / "edge.json").machine
    wanted = [
        "profiled 20", machine.cpu, *(cut.after for cut in profiled.cuts.values()),
        f"not profiled; splitpoint profile {profiled.path} --cloud HOST:PORT",
        f"splitpoint calibrate {profiled.path} --data DIR",
        f"splitpoint exits train {profiled.path} --data DIR",
    ]  # fmt: skip
    assert [text for text in wanted if squeezed(text) not in shown] == []


def test_profiles_that_hold_no_longer_say_why(profiled: Bundle) -> None:
    assert [one["stale"] for one in document(profiled.path)["profiles"]] == [None]
    edge = Profile.load(profiled.profiles / "edge.json")
    cuts = {name: cut for name, cut in edge.cuts.items() if name != "cut-01"}
    changes = {
        "another": {"bundle_digest": "0" * 64},
        "lacking": {"cuts": cuts},
        "ranges": {"calibration_digest": "1" * 64},
    }
    for name, change in changes.items():
        edge.model_copy(update=change).save(profiled.profiles / f"{name}.json")
    (profiled.profiles / "broken.json").write_text("{")
    stale = {one["name"]: one["stale"] for one in document(profiled.path)["profiles"]}
    assert "of another version of the bundle" in stale["another"]
    assert stale["lacking"] == "stale: it lacks cut-01"
    assert "measured with another calibration" in stale["ranges"]
    assert "cannot be read" in stale["broken"]
    path = profiled.profiles / "broken.json"
    assert stale["broken"].endswith(
        f"Measure it again: splitpoint profile {profiled.path} --out {path}."
    )
    assert squeezed("it lacks cut-01") in squeezed(show(profiled.path))


def test_heads_alone_are_called_that(exiting: Bundle, tmp_path: Path) -> None:
    heads = export_heads(exiting, tmp_path / "heads", exit_cuts(exiting))
    found = document(heads.path)
    assert found["heads_only"] is True
    assert found["exits"]["exits"][0]["agreement_of_all"] > 0.5
    shown = squeezed(show(heads.path))
    assert squeezed(f"heads of {', '.join(exit_cuts(exiting))} only") in shown
    assert squeezed("agree of all") in shown


def test_agreement_is_of_the_inputs_that_exit_as_the_report_says() -> None:
    done = CliRunner().invoke(app, ["exits", "report", str(DIGITS), "--json"])
    reported = {
        one["cut"]: next(row["agreement"] for row in one["thresholds"] if row["own"])
        for one in json.loads(done.stdout)["exits"]
    }
    shown = document(DIGITS)["exits"]["exits"]
    assert {one["cut"]: one["agreement"] for one in shown} == reported
    assert any(one["agreement_of_all"] < one["agreement"] for one in shown)
