"""Bundles that many tests share; made once a session."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.exits import BundleExits
from partitioner.exits.trainer import train_exits
from partitioner.importer.importer import ImportOptions, import_model
from tests.kit import exit_models, models


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker waits for it at the end."""
    items.sort(key=lambda item: "test_readme" not in item.nodeid)


@pytest.fixture(autouse=True)
def patient_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the end of a run waits for its last report is not a busy test machine's matter."""
    monkeypatch.setattr("edge_client.telemetry.reporter._LAST_S", 30.0)
    monkeypatch.setattr("edge_client.cloud.greeting._REPORT_S", 30.0)


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


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Three classes, float32 [batch, 3, 12, 12] in: which colour is strongest."""
    folder = tmp_path_factory.mktemp("exits")
    return import_model(models.save(exit_models.loudest_channel(), folder / "m.onnx"), folder / "m")


@pytest.fixture(scope="session")
def trained(classifier: Bundle) -> BundleExits:
    """Exits of the classifier, trained for an agreement of 95 %."""
    inputs = exit_models.data(*exit_models.colours(1500))
    return train_exits(classifier, inputs, agreement=0.95, epochs=8)


@pytest.fixture
def exiting(classifier: Bundle, trained: BundleExits, tmp_path: Path) -> Bundle:
    """A bundle of one's own, with exits."""
    shutil.copytree(classifier.path, tmp_path / "m")
    trained.save(tmp_path / "m")
    return Bundle.load(tmp_path / "m")
