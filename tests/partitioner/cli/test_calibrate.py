"""The command calibrate, on a folder of images."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import CALIBRATION_FILE
from partitioner.cli.main import app
from partitioner.reports.calibration import calibration_table, calibration_text
from protos.errors import SplitpointError, UsageError


def write_images(folder: Path, count: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for at in range(count):
        pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{at:03}.png")
    lines = [f"{at:03}.png,class-{at % 10}" for at in range(count)]
    (folder / "labels.csv").write_text("\n".join(["file,label", *lines, ""]))
    return folder


def call(*words: object) -> tuple[int, str, BaseException | None]:
    done = CliRunner().invoke(app, [*map(str, words)])
    return done.exit_code, done.stdout, done.exception


def test_command_calibrates_a_folder_of_labelled_images(calibrated: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / "image"
    shutil.copytree(calibrated.path, folder)
    images = write_images(tmp_path / "images", 33)
    words = ("calibrate", folder, "--data", images, "--labels", images / "labels.csv")
    status, out, error = call(*words, "--json")
    assert (status, error) == (0, None)
    document = json.loads(out)
    (alike,) = document["measured"]
    assert (alike["range_samples"], alike["samples"], alike["labelled"]) == ([9], 24, 24)
    assert document["accuracies"][0]["measure"] == "accuracy"
    found = Bundle.load(folder)
    assert found.ranges is not None
    assert found.ranges.digest == document["digest"] != calibrated.ranges.digest  # type: ignore[union-attr]
    assert found.calibration is not None
    assert calibration_table(found, found.calibration).row_count == len(found.cuts) - 1
    text = calibration_text(found, found.calibration)
    assert "from 9 inputs, points from 24 others" in text
    assert "cut-" not in text


def spoil(images: Path, how: str) -> tuple[Path, tuple[object, ...]]:
    """Return the data and the further words of a command that cannot succeed."""
    labels = images / "labels.csv"
    if how == "empty":
        for path in images.glob("*.png"):
            path.unlink()
    elif how == "few":
        for path in list(images.glob("*.png"))[:10]:
            path.unlink()
    elif how == "shape":
        np.save(images / "x.npy", np.zeros((40, 3, 32, 32), np.float32))
        return images / "x.npy", ()
    elif how == "unlabelled":
        labels.write_text("\n".join(labels.read_text().splitlines()[:20]) + "\n")
    elif how == "no labels":
        labels.unlink()
    elif how == "class":
        labels.write_text(labels.read_text().replace("class-3", "12"))
    elif how == "broken image":
        (images / "007.png").write_bytes(b"no image")
    return images, ("--labels", labels) if how in ("unlabelled", "no labels", "class") else ()


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ("empty", "holds no images"),
        ("few", "with 23 inputs finds no"),
        ("shape", r"float32\[40, 3, 32, 32\]"),
        ("unlabelled", "no label for 14 of 33 inputs: 019.png"),
        ("no labels", "labels.csv cannot be read"),
        ("class", "labelled 12, and the model knows the classes 0 to 9"),
        ("broken image", "007.png cannot be read"),
    ],
)
def test_bad_data_is_a_sentence_and_overwrites_nothing(
    how: str, match: str, calibrated: Bundle, tmp_path: Path
) -> None:
    before = (calibrated.path / CALIBRATION_FILE).read_bytes()
    data, more = spoil(write_images(tmp_path / "images", 33), how)
    status, _, error = call("calibrate", calibrated.path, "--data", data, *more)
    assert status != 0
    assert isinstance(error, SplitpointError)
    with pytest.raises(type(error), match=match):
        raise error
    assert (calibrated.path / CALIBRATION_FILE).read_bytes() == before


def test_labels_for_a_model_without_classes_are_refused(bundles: Any, tmp_path: Path) -> None:
    unet = bundles("unet")
    np.save(tmp_path / "x.npy", np.zeros((32, 3, 32, 32), np.float32))
    (tmp_path / "labels.csv").write_text("file,label\nx.npy#0,1\n")
    _, _, error = call(
        "calibrate", unet.path, "--data", tmp_path / "x.npy", "--labels", tmp_path / "labels.csv"
    )
    assert isinstance(error, UsageError)
    assert "Leave out --labels" in str(error)
    assert not (unet.path / CALIBRATION_FILE).exists()


def test_number_of_samples_that_can_never_do_is_refused_before_anything_is_read() -> None:
    _, _, error = call("calibrate", "nowhere", "--data", "nowhere", "--max-samples", 31)
    assert isinstance(error, UsageError)
    assert "--max-samples 31 is too few to calibrate, which takes at least 32 inputs" in str(error)


def test_sub_folders_for_each_class_are_labels(calibrated: Bundle, tmp_path: Path) -> None:
    folder, images = tmp_path / "image", write_images(tmp_path / "images", 33)
    shutil.copytree(calibrated.path, folder)
    for at, path in enumerate(sorted(images.glob("*.png"))):
        (images / f"class-{at % 10}").mkdir(exist_ok=True)
        path.rename(images / f"class-{at % 10}" / path.name)
    found = []
    for labels in ((), ("--labels", images / "labels.csv")):
        status, out, error = call("calibrate", folder, "--data", images, *labels, "--json")
        assert (status, error) == (0, None)
        found.append(json.loads(out)["accuracies"])
    assert found[0] == found[1]
    assert found[0][0]["measure"] == "accuracy"
