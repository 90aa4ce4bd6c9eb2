"""The checksum of a message: whatever changes on the way is noticed."""

import zlib

import pytest

from protos.errors import FaultError
from protos.inference_pb2 import ModelInferRequest, ModelInferResponse
from protos.names import PARAM_CHECKSUM, PARAM_CODEC
from protos.wire.checksums import check_seal, seal

TENSOR = b"\x00\x01\x02\x03"


def sealed() -> ModelInferRequest:
    message = ModelInferRequest(model_name="digits.cut-03", id="7")
    tensor = message.inputs.add(name="x", datatype="FP32", shape=[1, 1])
    tensor.parameters[PARAM_CODEC].string_param = "q4"
    seal(message, [TENSOR])
    return message


def test_checksum_is_that_of_the_words_line_by_line_and_then_of_the_bytes() -> None:
    words = (
        b"digits.cut-03\n7\nx\nFP32\nq4\n1\n1"  # model, id; name, type, codec, shape of each tensor
    )
    assert sealed().parameters[PARAM_CHECKSUM].int64_param == zlib.crc32(words + TENSOR)


def test_message_that_arrives_as_it_was_sent_is_taken() -> None:
    check_seal(ModelInferRequest.FromString(sealed().SerializeToString()), [memoryview(TENSOR)])


def test_message_without_a_checksum_is_taken_as_it_is() -> None:
    check_seal(ModelInferResponse(id="7"), [b"anything"])


def test_every_flipped_bit_of_the_tensors_is_noticed() -> None:
    message = sealed()
    for bit in range(8 * len(TENSOR)):
        damaged = bytearray(TENSOR)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FaultError, match="damaged on its way"):
            check_seal(message, [damaged])


@pytest.mark.parametrize("part", ["id", "model", "name", "type", "shape", "codec", "checksum"])
def test_whose_and_what_the_tensors_are_is_covered_too(part: str) -> None:
    message = sealed()
    tensor = message.inputs[0]
    if part == "id":
        message.id = "6"
    elif part == "model":
        message.model_name = "digits.cut-02"
    elif part == "name":
        tensor.name = "y"
    elif part == "type":
        tensor.datatype = "INT32"
    elif part == "shape":
        tensor.shape[0] = 2
    elif part == "codec":
        tensor.parameters[PARAM_CODEC].string_param = "q5"
    else:
        message.parameters[PARAM_CHECKSUM].int64_param += 1
    with pytest.raises(FaultError):
        check_seal(message, [TENSOR])


def test_an_answer_is_sealed_alike() -> None:
    answer = ModelInferResponse(model_name="digits", id="7")
    answer.outputs.add(name="y", datatype="FP32", shape=[1])
    seal(answer, [TENSOR])
    check_seal(answer, [TENSOR])
    with pytest.raises(FaultError):
        check_seal(answer, [TENSOR[::-1]])
