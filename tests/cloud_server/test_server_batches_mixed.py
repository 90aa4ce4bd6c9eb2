"""A model that mixes the rows of a batch, from its import to its answers."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from cloud_server.server import CloudServer
from partitioner.bundle.manifest import SERVING_FILE
from partitioner.importer.importer import import_model
from protos.names import PARAM_BATCH_SIZE
from protos.wire.framing import decode_stream_response
from tests.kit.cloud_calls import STREAM, TIMEOUT_S, connected, crossing, request_for
from tests.kit.mixed_rows import centred, training_norm
from tests.kit.models import save


@pytest.mark.parametrize("model", [training_norm, centred])
def test_model_that_mixes_rows_is_never_batched(
    model: Callable[[], onnx.ModelProto], tmp_path: Path
) -> None:
    """What mixes them a little passes for rounding at import, and is found out by the server."""
    bundle = import_model(save(model(), tmp_path / "m.onnx"), tmp_path / "m")
    assert (bundle.inputs[0].shape[0] == -1) is (model is centred)
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
