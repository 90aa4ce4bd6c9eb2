"""The commands that train exits and report on them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.exits import EXITS_FILE
from partitioner.cli.main import app
from partitioner.exits.trainer import cuts_to_exit
from protos.errors import SourceError, UsageError
from tests.kit.exit_models import colours


def run(*words: object) -> None:
    app([str(word) for word in words], standalone_mode=False)


@pytest.mark.slow
def test_commands_train_and_report(
    classifier: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(classifier.path, tmp_path / "m")
    frames, labels = colours(300)
    np.save(tmp_path / "x.npy", frames)
    rows = "".join(f"x.npy#{number},{label}\n" for number, label in enumerate(labels))
    (tmp_path / "labels.csv").write_text("file,label\n" + rows)
    given = ("--data", tmp_path / "x.npy", "--labels", tmp_path / "labels.csv")
    cut = cuts_to_exit(classifier)[0].id
    wanted = ("--cuts", cut, "--epochs", 2, "--agreement", 0.9)
    run("exits", "train", tmp_path / "m", *given, *wanted, "--json")
    made = json.loads(capsys.readouterr().out)
    assert [exit_["cut"] for exit_ in made["exits"]] == [cut]
    assert made["trained_samples"] == 240
    kept = (tmp_path / "m" / EXITS_FILE).read_bytes()

    run("exits", "report", tmp_path / "m", *given, "--threshold", "0.5", "--json")
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    row = next(row for row in document["exits"][0]["thresholds"] if not row["own"])
    assert row["threshold"] == 0.5
    assert row["samples"] == 300
    assert row["whole_accuracy"] > 0.8
    run("exits", "report", tmp_path / "m")
    told = capsys.readouterr()
    assert "*" in told.out
    assert "chosen for an agreement of at least 90 %" in " ".join(told.err.split())

    # 60 held-out inputs, all of which agree, show no more than 60 / 63.84 = 94 %.
    run("exits", "threshold", tmp_path / "m", "--agreement", 0.99)
    told = capsys.readouterr()
    assert "*" not in told.out
    assert f"No threshold reaches that at {cut}" in " ".join(told.err.split())
    assert "take 381 held-out inputs" in " ".join(told.err.split())
    run("exits", "threshold", tmp_path / "m", "--agreement", 0.9, "--json")
    again = json.loads(capsys.readouterr().out)
    assert again["exits"][0]["threshold"] == made["exits"][0]["threshold"]
    assert (tmp_path / "m" / EXITS_FILE).read_bytes() == kept

    np.save(tmp_path / "few.npy", frames[:249])
    with pytest.raises(SourceError, match="at least 250 in all"):  # and what is there stays
        run("exits", "train", tmp_path / "m", "--data", tmp_path / "few.npy")
    with pytest.raises(UsageError, match="249 is too few to train exits, .* at least 250 inputs"):
        run("exits", "train", tmp_path / "m", *given, "--max-samples", 249)
    with pytest.raises(UsageError, match="which is missing"):
        run("exits", "report", tmp_path / "m", "--labels", tmp_path / "labels.csv")
    with pytest.raises(UsageError, match="has no exits"):
        run("exits", "report", classifier.path)
    assert (tmp_path / "m" / EXITS_FILE).read_bytes() == kept
    stage_files = {path.name for path in (tmp_path / "m").iterdir()}
    assert not any(name.startswith(f".{EXITS_FILE}") for name in stage_files)


@pytest.mark.slow
def test_sub_folders_are_labels_of_exits(
    image_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    for label in (3, 7):
        folder = tmp_path / "images" / f"class-{label}"
        folder.mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (32, 32), (label, number, 0)).save(folder / f"{number}.png")
    monkeypatch.setattr(
        "partitioner.exits.trainer.train_exits", lambda _, data, *__, **___: seen.append(data)
    )
    with pytest.raises(AttributeError):  # nothing was trained
        run("exits", "train", image_bundle.path, "--data", tmp_path / "images")
    assert seen[0].labels == [3, 3, 7, 7]
    assert len(list(seen[0].frames())) == 4
