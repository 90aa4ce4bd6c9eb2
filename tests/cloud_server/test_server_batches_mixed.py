"""A model that mixes the rows of a batch, from its import to its answers."""

from pathlib import Path

import numpy as np
import pytest

from cloud_server.server import CloudServer
from partitioner.bundle.manifest import SERVING_FILE
from partitioner.importer.importer import ImportOptions, import_model
from protos.names import PARAM_BATCH_SIZE
from protos.wire.framing import decode_stream_response
from tests.kit.cloud_calls import STREAM, TIMEOUT_S, connected, crossing, request_for
from tests.kit.mixed_rows import training_norm
from tests.kit.models import save


@pytest.mark.parametrize("alike", [False, True], ids=["two samples", "two samples that are alike"])
def test_model_that_mixes_rows_is_never_batched(tmp_path: Path, alike: bool) -> None:
    """Of two samples that are alike the importer learns nothing, and takes the rows for independent."""
    row = np.random.default_rng(0).standard_normal((1, 8)).astype(np.float32)
    np.save(tmp_path / "samples.npy", np.concatenate([row, row if alike else -row]))
    options = ImportOptions(samples=tmp_path / "samples.npy")
    bundle = import_model(save(training_norm(), tmp_path / "m.onnx"), tmp_path / "m", options)
    assert (bundle.inputs[0].shape[0] == -1) is alike
    (bundle.path / SERVING_FILE).write_text("max_batch_size = 8")
    eager = {"preload": ("cloud",), "workers": 1}
    with CloudServer(bundle.path, **eager) as server, connected(server.address) as channel:
        sent = [
            request_for(bundle, "cloud", crossing(bundle, "cloud", seed)).SerializeToString()
            for seed in range(16)
        ]
        answers = list(channel.stream_stream(STREAM)(iter(sent), timeout=TIMEOUT_S))
    assert len(answers) == len(sent)
    for data in answers:
        error, header, _ = decode_stream_response(data)
        assert error == ""
        assert PARAM_BATCH_SIZE not in header.parameters
