"""Exits on disk: what comes back, and what is refused."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.exits import EXITS_FILE, BundleExits
from protos.errors import BundleError, UnknownNameError


def test_exits_come_back_from_the_disk_and_leave_the_bundle_what_it_was(
    classifier: Bundle, trained: BundleExits, exiting: Bundle
) -> None:
    again = exiting.exits
    assert again is not None
    assert again.meta == trained.meta
    assert exiting.digest == classifier.digest
    for cut, found in trained.by_cut.items():
        assert again.by_cut[cut].graph == found.graph
        np.testing.assert_array_equal(
            again.by_cut[cut].outcomes.confidence, found.outcomes.confidence
        )
    assert classifier.exits is None
    with pytest.raises(UnknownNameError, match="no exit was trained at 'cut-99'"):
        again.find("cut-99")


def test_exits_of_another_model_are_refused(
    trained: BundleExits, bundles: Callable[[str], Bundle], tmp_path: Path
) -> None:
    shutil.copytree(bundles("residual").path, tmp_path / "other")
    trained.save(tmp_path / "other")
    with pytest.raises(BundleError, match=r"exits of another model: .*exits train"):
        _ = Bundle.load(tmp_path / "other").exits


@pytest.mark.parametrize("damage", ["cut", "text", "arrays"])
def test_damaged_exits_are_refused(exiting: Bundle, trained: BundleExits, damage: str) -> None:
    path = exiting.path / EXITS_FILE
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "text":
        path.write_text("no exits")
    else:
        cut, found = next(iter(trained.by_cut.items()))
        short = replace(found.outcomes, agrees=found.outcomes.agrees[:-1])
        BundleExits(trained.meta, {**trained.by_cut, cut: replace(found, outcomes=short)}).save(
            exiting.path
        )
    with pytest.raises(BundleError, match=r"damaged.*remove the file"):
        _ = Bundle.load(exiting.path).exits
