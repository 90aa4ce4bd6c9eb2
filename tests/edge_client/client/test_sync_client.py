"""The client without a loop gives what the one with a loop gives."""

from edge_client.client.sync_client import EdgeClient
from partitioner.bundle.bundle import Bundle
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
