"""An answer that was damaged on its way: it is no answer, and the frame is finished on the device."""

from typing import Any

import numpy as np
import pytest

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.frames.result import ServedBy
from partitioner.bundle.bundle import Bundle
from protos.inference_pb2 import ModelInferRequest
from protos.wire.checksums import seal
from protos.wire.framing import encode_stream_response
from protos.wire.messages import pack_response, unpack_request
from tests.kit.fake_cloud import FakeCloud
from tests.kit.frames import assert_same, frames, whole

CUT = "cut-02"


@pytest.mark.parametrize("damaged", [False, True])
async def test_answer_with_a_flipped_bit_is_finished_on_the_device(
    residual_bundle: Bundle, damaged: bool
) -> None:
    async def sealed(header: ModelInferRequest, raw: list[memoryview]) -> bytes:
        tail, outputs = cloud.tail(header.model_name)
        values = tail.run(unpack_request(header, raw, tail.inputs, None))
        answer, buffers = pack_response(header.model_name, header.id, values, outputs)
        seal(answer, buffers)
        sent: list[Any] = [np.array(np.frombuffer(data, np.uint8)) for data in buffers]
        sent[0][0] ^= damaged
        return encode_stream_response(answer, [data.tobytes() for data in sent])

    (inputs,) = frames(residual_bundle, 1)
    async with (
        FakeCloud(residual_bundle, sealed) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, CUT) as client,
    ):
        result = await client.infer(inputs)
    assert result.served_by is (ServedBy.EDGE if damaged else ServedBy.CLOUD)
    assert ("damaged on its way" in result.reason) == damaged
    assert_same(result.outputs, whole(residual_bundle, inputs))
