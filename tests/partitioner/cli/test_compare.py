"""`splitpoint compare`: several bundles on one link."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from partitioner.bundle.bundle import Bundle
from partitioner.cli.main import app
from partitioner.network.link import Link
from partitioner.planning.plan import plan
from partitioner.profiles.profile import Profile
from partitioner.profiles.store import find_profiles
from partitioner.reports.plans.comparison import Compared, comparison_text
from protos.errors import UsageError
from tests.kit.profiles import steady

LINK = ("--link", "10mbit,20ms", "--cloud-scale", "0.2")


@pytest.fixture(scope="module")
def pair(residual_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A bundle, and the same as if its input were so small that it takes half the time."""
    folder = tmp_path_factory.mktemp("compare")
    profile = steady(residual_bundle)
    for name, scale in (("large", 1.0), ("small", 0.5)):
        shutil.copytree(residual_bundle.path, folder / name)
        scaled = profile.scaled(scale).model_copy(update={"scale": 1.0})
        scaled.save(folder / name / "profiles" / "edge.json")
    return folder / "large", folder / "small"


def compare(*words: object) -> Any:
    line = ["compare", *map(str, words)]
    return CliRunner().invoke(app, line, env={"COLUMNS": "200"})


def document(*words: object) -> Any:
    done = compare(*words, "--json")
    assert done.exception is None, done.exception
    return json.loads(done.stdout)


def test_each_bundle_is_planned_as_plan_does(pair: tuple[Path, Path]) -> None:
    found = document(*pair, *LINK)
    assert found["fastest"] == "small"
    for path, one in zip(pair, found["bundles"], strict=True):
        bundle = Bundle.load(path)
        made = plan(bundle, Link(1e7, 1e7, 0.02), *find_profiles(bundle, cloud_scale=0.2))
        assert one["best"]["total_s"] == pytest.approx(made.best.total_s)
        assert (one["best"]["cut"], one["size_bytes"]) == (made.best.cut, bundle.size_bytes)
        assert one["accuracy"] is None


def test_scales_and_device_are_those_of_plan(pair: tuple[Path, Path]) -> None:
    slow = document(*pair, *LINK, "--edge-scale", 6)["bundles"]
    assert [one["edge_scale"] for one in slow] == [6, 6]


def test_device_scales_each_bundle_as_plan_does(pair: tuple[Path, Path]) -> None:
    words = ("--device", "raspberry-pi-4", "--threads", 4)
    found = document(*pair, *LINK, *words)["bundles"]
    for path, one in zip(pair, found, strict=True):
        alone = CliRunner().invoke(app, ["plan", str(path), *LINK, *map(str, words), "--json"])
        made = json.loads(alone.stdout)
        assert one["edge_scale"] == pytest.approx(made["profiles"]["edge"]["scale"])
        assert one["best"]["total_s"] == pytest.approx(made["answer"]["best"]["latency_s"])
    # Both hold the same work, so that the one that was measured to take half as long has twice the factor.
    assert found[1]["edge_scale"] == pytest.approx(2 * found[0]["edge_scale"])


def test_ranking_within_the_range_of_the_scaling_is_said_to_be(pair: tuple[Path, Path]) -> None:
    shown = " ".join(compare(*pair, *LINK, "--device", "raspberry-pi-4").stdout.split())
    wanted = (
        "scaled, not measured: by the throughput of raspberry-pi-4 with 1 thread", "0.5x to 1.6x of these",
        "within the range of the scaling, so that the ranking may turn",
    )  # fmt: skip
    assert [text for text in wanted if text not in shown] == []
    # A factor by hand is a fact of the machine, and off by the same for both.
    by_hand = " ".join(compare(*pair, *LINK, "--edge-scale", 1.5).stdout.split())
    assert "Over that range the ranking stays." in by_hand


def test_sentence_says_who_wins_and_what_is_not_known(pair: tuple[Path, Path]) -> None:
    done = compare(*pair, *LINK, "--edge-scale", 100)
    shown = "".join(done.stdout.split())  # a terminal breaks long lines anywhere
    wanted = (
        "small is the fastest", "% less than large", "calibrate with --labels", "◀",
        "float32[batch, 3, 32, 32]",
    )  # fmt: skip
    assert [text for text in wanted if "".join(text.split()) not in shown] == []
    assert "scaled by 100" in done.stderr


def test_accuracy_is_told_where_labels_were_given(pair: tuple[Path, Path]) -> None:
    class Known(Compared):
        @property
        def accuracy(self) -> float:
            return {"a": 0.95, "b": 0.93}[self.label]

    bundle = Bundle.load(pair[0])
    edge, cloud = find_profiles(bundle, cloud_scale=0.2)
    slow = plan(bundle, Link(1e7, 1e7, 0.02), edge.scaled(2), cloud.scaled(2))
    fast = plan(bundle, Link(1e7, 1e7, 0.02), edge, cloud)
    text = comparison_text([Known("a", slow), Known("b", fast)])
    assert text.startswith("b is the fastest")
    assert text.splitlines()[0].endswith("It is right 2.0 points less often.")
    alike = comparison_text([Known("a", fast), Known("a", slow)])
    assert alike.splitlines()[0].endswith("It is right as often.")


def test_accuracy_of_the_best_option_is_that_with_its_codec(pair: tuple[Path, Path]) -> None:
    demo = Bundle.load(Path(__file__).parents[3] / "examples" / "digits" / "bundle")
    assert demo.calibration is not None
    lossy = next(one for one in demo.calibration.meta.accuracies if one.right != one.whole_right)
    profile = Profile.load(pair[0] / "profiles" / "edge.json")
    made = plan(Bundle.load(pair[0]), Link(1e7, 1e7, 0.02), profile, profile)
    option = replace(made.best, cut=lossy.cut, codec=lossy.codec, accuracy=lossy)
    found = Compared("x", replace(made, bundle=demo, options=(option,)))
    assert found.accuracy == lossy.right / lossy.labelled
    assert found.whole_accuracy == lossy.whole_right / lossy.labelled


def test_one_bundle_alone_cannot_be_compared(pair: tuple[Path, Path]) -> None:
    done = compare(pair[0], *LINK)
    assert isinstance(done.exception, UsageError)
    assert "Give two bundles or more" in str(done.exception)


def test_folders_of_one_name_are_told_apart_by_their_paths(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    shutil.copytree(pair[0], tmp_path / "large")
    found = document(pair[0], tmp_path / "large", *LINK)
    assert [one["bundle"] for one in found["bundles"]] == [str(pair[0]), str(tmp_path / "large")]
