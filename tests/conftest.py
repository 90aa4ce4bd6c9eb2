"""Bundles that many tests share; made once a session."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from cloud_server.server import CloudServer
from edge_client.client.options import ClientOptions
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.exits import BundleExits
from partitioner.bundle.head_export import export_heads
from partitioner.calibration.calibrator import calibrate
from partitioner.exits.trainer import train_exits
from partitioner.importer.importer import ImportOptions, import_model
from partitioner.profiles.profile import Profile
from partitioner.profiles.profiler import measure_profile
from tests.kit import exit_models, models
from tests.kit.heads import middle
from tests.kit.samples import samples
from tests.kit.versions import make_version

# A busy machine makes no test fail; each run draws other examples.
settings.register_profile("untimed", deadline=None, max_examples=60)
settings.load_profile("untimed")

SLOW_CALLS = re.compile(
    r"^import torch|sys\.executable|"
    r"\b(running|run_client|measure_profile|train_exits|calibrate|import_model)\(",
    re.MULTILINE,
)
"""A file of tests that starts a program, measures, trains, calibrates or imports has this in it."""
SLOW_FIXTURES = {"trained", "calibrated", "middle_head"}


def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are cores: many tests wait for a program or a time-out."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make quick` leaves out; begin with what takes longest, so that no worker waits for it."""
    slow_files = {
        path for path in {item.path for item in items} if SLOW_CALLS.search(path.read_text())
    }
    for item in items:
        if item.path in slow_files or SLOW_FIXTURES.intersection(item.fixturenames):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: "test_readme" not in item.nodeid)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that a busy test machine keeps from answering is not away."""
    for limit in (
        "edge_client.client.session._ALONE_AFTER_S",
        "edge_client.telemetry.reporter._LAST_S",
        "edge_client.cloud.greeting._REPORT_S",
        "edge_client.cloud.greeting_race.CONNECT_S",
        "edge_client.cloud.probe_connection.PROBE_LIMIT_S",
        "cloud_server.cli.health._HEALTH_TIMEOUT_S",
    ):
        monkeypatch.setattr(limit, 30.0)
    monkeypatch.setattr("edge_client.control.cloud_retry.greet_patience_s", lambda _failed: 30.0)


@pytest.fixture(autouse=True)
def no_frame_is_hedged_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether an answer is late depends on how busy the test machine is: who wants hedges says so."""
    monkeypatch.setitem(ClientOptions.__init__.__kwdefaults__, "hedge", "off")


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
def net_versions(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """Three versions of the bundle `net`, each of which answers SHIFT more than the one before."""
    folder = tmp_path_factory.mktemp("versions")
    return [make_version(folder / f"net-{number}", number) for number in range(3)]


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


@pytest.fixture
def middle_head(residual_bundle: Bundle, tmp_path: Path) -> Bundle:
    """The head of one cut of the residual network."""
    return export_heads(residual_bundle, tmp_path / "held", [middle(residual_bundle)])


@pytest.fixture(scope="session")
def calibrated(image_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A copy of the image bundle, calibrated on 40 inputs with labels at random."""
    folder = tmp_path_factory.mktemp("calibrated") / "image"
    shutil.copytree(image_bundle.path, folder)
    calibrate(image_bundle, samples(image_bundle, 40, labelled=True)).save(folder)
    return Bundle.load(folder)


@pytest.fixture(scope="session")
def calibrated_profile(calibrated: Bundle) -> Profile:
    """What this machine takes for the calibrated bundle: every call once or a few times."""
    return measure_profile(calibrated, budget_s=0)


@pytest.fixture(scope="session")
def calibrated_address(calibrated: Bundle) -> Iterator[str]:
    """The address of a cloud that serves the calibrated bundle."""
    with CloudServer(bundles=calibrated.path, listen="127.0.0.1:0") as server:
        yield server.address
