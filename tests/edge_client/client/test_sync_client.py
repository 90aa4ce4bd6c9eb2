"""The client without a loop gives what the one with a loop gives."""

import pytest

from edge_client.client.sync_client import EdgeClient
from edge_client.frames.result import ServedBy
from partitioner.bundle.bundle import Bundle
from protos.errors import UsageError
from tests.kit.frames import assert_same, frames, whole


def test_sync_stream_gives_one_result_for_each_frame_in_order(
    residual_bundle: Bundle, residual_address: str
) -> None:
    inputs = frames(residual_bundle, 20)
    with EdgeClient(residual_address, residual_bundle, "cut-05", window=3) as client:
        results = list(client.stream(iter(inputs)))
    assert [result.frame for result in results] == list(range(20))
    for result, frame in zip(results, inputs, strict=True):
        assert_same(result.outputs, whole(residual_bundle, frame))


def test_client_that_needs_no_server_is_made_without_naming_one(residual_bundle: Bundle) -> None:
    (inputs,) = frames(residual_bundle, 1)
    with EdgeClient(bundle=residual_bundle, cut="edge") as client:  # type: ignore[call-arg]
        assert client.infer(inputs).served_by is ServedBy.EDGE
    with pytest.raises(UsageError, match="needs a server. Give `cloud` HOST:PORT"):
        EdgeClient(bundle=residual_bundle)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="missing a required argument: 'bundle'"):
        EdgeClient(cut="edge")  # type: ignore[call-arg]
