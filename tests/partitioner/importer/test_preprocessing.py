"""Resizing and normalising in the graph, against numpy."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from partitioner.bundle.verification import verify_bundle
from partitioner.importer.importer import ImportOptions, import_model
from partitioner.runtime.sessions import random_feeds
from tests.kit import models
from tests.kit.imports import refuse, run_onnx, run_split


@pytest.mark.parametrize("frame", [None, "48x64"])
def test_preprocessing_in_the_graph_equals_numpy(
    frame: str | None, tmp_path: Path, onnx_files: Callable[[str], Path]
) -> None:
    options = ImportOptions(preprocess="imagenet", frame=frame)
    bundle = import_model(onnx_files("residual"), tmp_path / "image", options)
    height, width = map(int, (frame or "32x32").split("x"))
    assert bundle.inputs[0].shape == (-1, height, width, 3)
    # A smooth picture: antialiased resizing then agrees between libraries.
    ramp = np.linspace(0, 255, width)[None, :, None] * np.ones((height, 1, 3))
    picture = ramp.astype(np.uint8)
    small = np.asarray(Image.fromarray(picture).resize((32, 32), Image.Resampling.BILINEAR))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    floats = ((small / 255 - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)
    wanted = run_onnx(onnx_files("residual"), {"x": floats})
    found = run_split(bundle, "cloud", {bundle.inputs[0].name: picture[None]})
    for output, array in wanted.items():
        np.testing.assert_allclose(found[output], array, atol=0.02)
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0), 2)
    assert all(check.ok for check in verify_bundle(bundle, [feeds]))


@pytest.mark.parametrize("opset", [11, 13, 18])
def test_frames_are_resized_with_every_opset(opset: int, tmp_path: Path) -> None:
    b = models.Builder()
    x = b.conv_bn_relu(b.conv_bn_relu(b.input("x", ["n", 3, 16, 16]), 3, 8), 8, 8)
    path = models.save(b.model(b.classify(x, 8), opset=opset), tmp_path / "net.onnx")
    bundle = import_model(path, tmp_path / "net", ImportOptions(preprocess="unit", frame="30x50"))
    assert bundle.inputs[0].shape == (-1, 30, 50, 3)


def test_preprocessing_that_does_not_fit_is_refused(
    tmp_path: Path, onnx_files: Callable[[str], Path]
) -> None:
    cases = {
        "sepia": "not understood",
        "mean=1:2,std=1": "2 numbers for mean",
        "mean=x": "not understood",
        "std=0": "every std above 0",
        "scale=1e": "not understood",
    }
    for text, match in cases.items():
        refuse(onnx_files("residual"), tmp_path / "out", match, ImportOptions(preprocess=text))
    refuse(
        onnx_files("transformer"),
        tmp_path / "out",
        "one image input",
        ImportOptions(preprocess="unit"),
    )
    frame = ImportOptions(preprocess="unit", frame="1x2x3")
    refuse(onnx_files("residual"), tmp_path / "out", "480x640", frame)
