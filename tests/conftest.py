"""Bundles that many tests share; made once a session."""

from collections.abc import Callable
from pathlib import Path

import pytest

from partitioner.bundle import Bundle
from partitioner.importing import ImportOptions, import_model
from tests import models


@pytest.fixture(scope="session")
def onnx_files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The ONNX file of a model of the zoo, by its name."""
    folder = tmp_path_factory.mktemp("onnx")

    def find(name: str) -> Path:
        path = folder / f"{name}.onnx"
        return path if path.exists() else models.save(models.ZOO[name](), path)

    return find


@pytest.fixture(scope="session")
def bundles(
    tmp_path_factory: pytest.TempPathFactory, onnx_files: Callable[[str], Path]
) -> Callable[[str], Bundle]:
    """The bundle of a model of the zoo, by its name."""
    folder = tmp_path_factory.mktemp("bundles")

    def find(name: str) -> Bundle:
        path = folder / name
        return Bundle.load(path) if path.exists() else import_model(onnx_files(name), path)

    return find


@pytest.fixture(scope="session")
def residual_bundle(bundles: Callable[[str], Bundle]) -> Bundle:
    """A small residual CNN: float32 [batch, 3, 32, 32] in, 10 classes out."""
    return bundles("residual")


@pytest.fixture(scope="session")
def image_bundle(
    tmp_path_factory: pytest.TempPathFactory, onnx_files: Callable[[str], Path]
) -> Bundle:
    """The same network behind its preprocessing: uint8 [batch, 32, 32, 3] in."""
    labels = tuple(f"class-{number}" for number in range(10))
    options = ImportOptions(preprocess="imagenet", labels=labels)
    return import_model(onnx_files("residual"), tmp_path_factory.mktemp("image") / "image", options)
