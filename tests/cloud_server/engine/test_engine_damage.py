"""A request that was damaged on its way: the server refuses it, and computes nothing."""

import pytest

from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos.inference_pb2 import ModelInferRequest
from protos.wire.checksums import seal
from tests.kit.cloud_calls import (
    TIMEOUT_S,
    connected,
    crossing,
    oip_stub,
    refused,
    request_for,
    stream_all,
)

CUT = "cut-02"


def sealed_then(bundle: Bundle, damage: str) -> ModelInferRequest:
    """A request whose checksum was right before the damage."""
    request = request_for(bundle, CUT, crossing(bundle, CUT), frame_id="7")
    seal(request, request.raw_input_contents)
    if damage == "bytes":
        data = bytearray(request.raw_input_contents[0])
        data[len(data) // 2] ^= 1
        request.raw_input_contents[0] = bytes(data)
    elif damage == "id":
        request.id = "8"
    elif damage == "name":
        request.model_name += (
            "x"  # which no model has: the caller must not take that for the reason
        )
    return request


def test_sealed_request_is_served(residual_bundle: Bundle) -> None:
    with CloudServer(residual_bundle.path) as server, connected(server.address) as channel:
        whole = sealed_then(residual_bundle, "nothing")
        assert oip_stub(channel).ModelInfer(whole, timeout=TIMEOUT_S).id == "7"


@pytest.mark.parametrize("damage", ["bytes", "id", "name"])
def test_request_with_a_flipped_bit_is_refused_alone_and_in_a_stream(
    residual_bundle: Bundle, damage: str
) -> None:
    damaged = sealed_then(residual_bundle, damage)
    with CloudServer(residual_bundle.path) as server, connected(server.address) as channel:
        code, sentence = refused(lambda: oip_stub(channel).ModelInfer(damaged, timeout=TIMEOUT_S))
        assert code == "INTERNAL"
        assert "damaged on its way" in sentence
        error, _, outputs = stream_all(channel, [damaged.SerializeToString()])[damaged.id]
    assert "damaged on its way" in error
    assert outputs is None
