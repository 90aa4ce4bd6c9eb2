"""Low bits between edge and cloud, where both have the same ranges and where not."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from cloud_server.server import CloudServer
from edge_client.client.sync_client import EdgeClient
from edge_client.frames.result import ServedBy
from partitioner.bundle.bundle import Bundle
from partitioner.calibration.calibrator import calibrate
from protos.codecs.registry import get_codec
from protos.errors import MismatchError
from protos.tensors import Array
from tests.kit.samples import samples


def test_edge_and_cloud_use_low_bits_at_run_time(
    calibrated: Bundle, calibrated_address: str
) -> None:
    feeds = samples(calibrated, 1)[0].feeds
    (name,) = (spec.name for spec in calibrated.outputs)
    with EdgeClient(calibrated_address, calibrated, "cut-03", codec="q4") as client:
        result = client.infer(feeds)
    assert (result.served_by, result.codec) == (ServedBy.CLOUD, "q4")
    (spec,) = calibrated.cut("cut-03").frontier
    codec = get_codec("q4", calibrated.ranges)
    value = calibrated.open_head("cut-03").run(feeds)[spec.name]
    data = codec.encode(value, spec.name)
    decoded = codec.decode(data, "float32", value.shape, spec.name)
    wanted: Array = calibrated.open_tail("cut-03").run({spec.name: decoded})[name]
    np.testing.assert_allclose(result.outputs[name], wanted, rtol=1e-4, atol=1e-5)
    assert 0 < result.upload_bytes - len(data) < 400


def test_server_with_another_calibration_or_none_is_a_mismatch_and_the_edge_goes_on(
    calibrated: Bundle, image_bundle: Bundle, calibrated_address: str, tmp_path: Path
) -> None:
    feeds = samples(calibrated, 1)[0].feeds
    wanted = calibrated.open_tail("cloud").run(feeds)
    other = tmp_path / "image"
    shutil.copytree(image_bundle.path, other)
    calibrate(image_bundle, samples(image_bundle, 36)).save(other)
    with CloudServer(bundles=image_bundle.path, listen="127.0.0.1:0") as bare:
        for server, bundle, match in (
            (bare.address, calibrated, "none there"),
            (calibrated_address, Bundle.load(other), "… there"),
        ):
            with EdgeClient(server, bundle, "cut-03", codec="q4") as client:
                result = client.infer(feeds)
                assert result.served_by is ServedBy.EDGE
                assert f"the server at {server} has another calibration" in result.reason
                assert match in result.reason
                for name, array in wanted.items():
                    np.testing.assert_allclose(result.outputs[name], array, rtol=1e-4, atol=1e-5)
            with EdgeClient(server, bundle, "cut-03", codec="int8") as client:
                assert client.infer(feeds).served_by is ServedBy.CLOUD
            with (
                EdgeClient(server, bundle, "cut-03", codec="q4", on_failure="fail") as client,
                pytest.raises(MismatchError, match="calibration.npz"),
            ):
                client.infer(feeds)
