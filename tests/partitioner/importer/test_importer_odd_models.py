"""Outputs that the data size, empty caches, constants as outputs: from import to the cloud and back."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from cloud_server.server import CloudServer
from edge_client.client.sync_client import EdgeClient
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.verification import verify_bundle
from partitioner.calibration.calibrator import MIN_SAMPLES, Sample, calibrate
from partitioner.importer.importer import ImportOptions, import_model
from partitioner.profiles.profiler import measure_profile
from partitioner.reports.calibration import calibration_text
from partitioner.runtime.sessions import RuntimeOptions, random_feeds
from tests.kit import models, odd_models
from tests.kit.imports import run_onnx, run_split

Odd = Callable[[str], tuple[Bundle, Path]]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Odd:
    """A model of the odd ones, by its name: its bundle and its file."""
    folder = tmp_path_factory.mktemp("odd")

    def find(name: str) -> tuple[Bundle, Path]:
        file, out = folder / f"{name}.onnx", folder / name
        if out.exists():
            return Bundle.load(out), file
        models.save(odd_models.ODD[name][0](), file)
        options = ImportOptions(input_shapes=odd_models.SHAPES.get(name, {}))
        return import_model(file, out, options), file

    return find


@pytest.mark.parametrize("name", odd_models.ODD)
def test_every_cut_gives_what_the_whole_model_gives_over_the_wire(name: str, odd: Odd) -> None:
    bundle, file = odd(name)
    assert bundle.manifest.cuts
    with (
        CloudServer(bundles=bundle.path, listen="127.0.0.1:0") as server,
        EdgeClient(server.address, bundle, "cloud") as client,
    ):
        for feeds in odd_models.ODD[name][1]():
            wanted = run_onnx(file, feeds)
            for cut in bundle.cuts:
                client.set_option(cut)
                found = client.infer(feeds).outputs
                for output, array in wanted.items():
                    assert found[output].shape == array.shape
                    np.testing.assert_allclose(found[output], array, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", odd_models.ODD)
def test_bundle_is_verified_and_profiled_with_every_codec(name: str, odd: Odd) -> None:
    bundle, _ = odd(name)
    feeds = odd_models.ODD[name][1]()
    assert all(check.ok for check in verify_bundle(bundle, feeds))
    profile = measure_profile(bundle, RuntimeOptions(), 0.1, feeds)
    assert set(profile.cuts) == set(bundle.cuts)


def test_output_that_the_data_size_takes_any_size(odd: Odd) -> None:
    bundle, _ = odd("detector")
    (boxes,) = bundle.outputs
    assert boxes.shape == (1, -2, 4)
    assert 0 <= boxes.usual[0] <= 20
    assert str(boxes) == "float32[1, any, 4]"
    counts = [
        next(iter(run_split(bundle, "cloud", feeds).values())).shape[1]
        for feeds in odd_models.detector_feeds()
    ]
    assert min(counts) == 0
    assert len(set(counts)) >= 3


def test_constants_among_the_outputs_do_not_cross_and_leave_the_batch_free(odd: Odd) -> None:
    bundle, _ = odd("anchored")
    shapes = [spec.shape for spec in bundle.outputs]
    assert shapes == [(-1, 4, 16, 16), (10, 4), (10, 4), (-1, 2)]
    for cut in bundle.manifest.cuts:
        assert cut.tail_outputs == (bundle.outputs[0].name,)


def test_size_that_two_draws_agree_on_is_not_taken_for_fixed(tmp_path: Path) -> None:
    """At most one box a class: random images all have one, and the next may have none."""
    b = models.Builder()
    x = b.op("Relu", b.linear(b.op("Relu", b.linear(b.input("x", [1, 16]), 16, 32)), 32, 8))
    model = b.model(b.op("NonZero", b.op("Abs", x)))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    bundle = import_model(models.save(model, tmp_path / "odd.onnx"), tmp_path / "odd")
    assert bundle.outputs[0].shape == (2, -2)


def test_size_that_an_input_says_is_not_taken_for_fixed(tmp_path: Path) -> None:
    b = models.Builder()
    x = b.op("Relu", b.linear(b.op("Relu", b.linear(b.input("x", [1, 16]), 16, 32)), 32, 8))
    count = b.input("k", [1], TensorProto.INT64)
    bundle = import_model(
        models.save(b.model(b.op("TopK", x, count, outputs=2)), tmp_path / "k.onnx"), tmp_path / "k"
    )
    assert bundle.outputs[0].is_data_sized


def test_calibration_of_what_only_travels_raw_says_so(tmp_path: Path) -> None:
    b = models.Builder()
    ids = b.input("ids", ["n", 6], TensorProto.INT64)
    path = models.save(
        b.model(b.linear(b.op("Gather", b.weight(50, 8), ids), 8, 4)), tmp_path / "ids.onnx"
    )
    bundle = import_model(path, tmp_path / "ids").only([])
    rng = np.random.default_rng(0)
    inputs = [Sample(random_feeds(bundle.inputs, rng), None) for _ in range(MIN_SAMPLES)]
    found = calibrate(bundle, inputs)
    assert calibration_text(bundle, found).startswith("No codec but raw suits what crosses")
