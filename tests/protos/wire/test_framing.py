"""What crosses the wire: protobuf is the oracle for our spliced messages, golden bytes hold the format."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos.codecs.registry import RAW, get_codec
from protos.errors import SplitpointError, TensorError
from protos.inference_pb2 import ModelInferRequest, ModelInferResponse, ModelStreamInferResponse
from protos.tensors import TensorSpec
from protos.wire import framing
from protos.wire.messages import (
    integer_parameter,
    pack_request,
    pack_response,
    unpack_request,
    unpack_response,
)

buffers = st.lists(st.binary(max_size=300), max_size=4)
names = st.text(max_size=20)


@given(names, names, buffers)
def test_spliced_request_is_what_protobuf_writes(
    model: str, frame: str, tensors: list[bytes]
) -> None:
    header = ModelInferRequest(model_name=model, id=frame)
    header.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    data = framing.encode_request(header, tensors)
    whole = ModelInferRequest.FromString(data)
    assert list(whole.raw_input_contents) == tensors
    again, views = framing.decode_request(whole.SerializeToString())
    assert [bytes(view) for view in views] == tensors
    assert again == header


@given(names, buffers, st.text(max_size=10))
def test_spliced_stream_answer_is_what_protobuf_writes(
    frame: str, tensors: list[bytes], problem: str
) -> None:
    header = ModelInferResponse(model_name="m", id=frame)
    data = framing.encode_stream_response(header, tensors, problem)
    whole = ModelStreamInferResponse.FromString(data)
    assert whole.error_message == problem
    assert list(whole.infer_response.raw_output_contents) == tensors
    message, again, views = framing.decode_stream_response(whole.SerializeToString())
    assert (message, again, [bytes(v) for v in views]) == (problem, header, tensors)


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_or_read_as_protobuf_reads_them(data: bytes) -> None:
    try:
        header, views = framing.decode_request(data)
    except TensorError:
        return
    header.raw_input_contents.extend(bytes(view) for view in views)
    assert header == ModelInferRequest.FromString(data)


@settings(max_examples=300)
@given(st.integers(0, 400), st.integers(0, 7))
def test_flipped_and_truncated_messages_never_crash(position: int, bit: int) -> None:
    values = {"x": np.arange(64, dtype=np.float32).reshape(1, 64)}
    spec = TensorSpec("x", "float32", (-1, 64))
    header, tensors = pack_request("m.cut-01", "7", values, [spec], bundle_digest="ab" * 32)
    data = bytearray(framing.encode_request(header, tensors))
    data[position % len(data)] ^= 1 << bit
    for broken in (bytes(data), bytes(data[: position % len(data)])):
        with suppress(SplitpointError):
            read, views = framing.decode_request(broken)
            array = unpack_request(read, views, [spec])["x"]
            assert array.shape == (1, 64)


def test_golden_request() -> None:
    spec = TensorSpec("x", "uint8", (-1, 3))
    header, tensors = pack_request("m.cut-01", "5", {"x": np.array([[1, 2, 3]], np.uint8)}, [spec])
    # model_name (1), id (3), inputs (5) {name, datatype, packed shape}, raw_input_contents (7)
    assert framing.encode_request(header, tensors).hex() == (
        "0a086d2e6375742d3031" "1a0135" "2a0e0a0178120555494e54381a020103" "3a03010203"
    )  # fmt: skip


def test_golden_answer() -> None:
    spec = TensorSpec("x", "uint8", (-1, 3))
    header, tensors = pack_response("m", "5", {"x": np.array([[1, 2, 3]], np.uint8)}, [spec])
    # model_name (1), model_version (2), id (3), outputs (5), raw_output_contents (6)
    assert framing.encode_response(header, tensors).hex() == (
        "0a016d" "120131" "1a0135" "2a0e0a0178120555494e54381a020103" "3203010203"
    )  # fmt: skip


def test_frontier_of_several_values_arrives_as_it_left() -> None:
    rng = np.random.default_rng(0)
    values = {
        "f": rng.standard_normal((2, 3, 4)).astype(np.float32),
        "mask": rng.integers(0, 2, (2, 5)).astype(bool),
        "ids": rng.integers(-9, 9, (2,)),
        "turned": np.asfortranarray(rng.standard_normal((2, 3)).astype(np.float16)),
        "big": rng.integers(0, 9, (2, 2)).astype(">i4"),
    }
    specs = [
        TensorSpec(name, array.dtype.newbyteorder("<").name, (-1, *array.shape[1:]))
        for name, array in values.items()
    ]
    header, tensors = pack_request("m", "1", values, specs, get_codec("jpeg"))
    read, views = framing.decode_request(framing.encode_request(header, tensors))
    for name, array in unpack_request(read, views, specs).items():
        np.testing.assert_array_equal(array, values[name])
    answer, raw = pack_response("m", "1", values, specs)
    back = unpack_response(*framing.decode_response(framing.encode_response(answer, raw)))
    for name, array in back.items():
        np.testing.assert_array_equal(array, values[name])


def test_typed_contents_are_read_too() -> None:
    header = ModelInferRequest(model_name="m")
    tensor = header.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    tensor.contents.fp32_contents.extend([1.5, -2.0])
    spec = TensorSpec("x", "float32", (-1, 2))
    np.testing.assert_array_equal(unpack_request(header, [], [spec])["x"], [[1.5, -2.0]])
    tensor.contents.fp32_contents.append(3.0)
    with pytest.raises(TensorError, match="3 values.*takes 2"):
        unpack_request(header, [], [spec])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"datatype": "FP64"}, "float64.*float32.*wanted"),
        ({"shape": [1, 3]}, r"float32\[1, 3\].*wanted"),
        ({"shape": [2, 2]}, "8 bytes.*takes 16"),
        ({"shape": [0, 2]}, "wanted"),
        ({"shape": [1 << 40, 2]}, "8 bytes"),
        ({"shape": [-1, 2]}, "wanted"),
        ({"name": "y"}, "takes exactly: x"),
        ({"datatype": "BYTES"}, "BYTES.*takes"),
    ],
)
def test_tensor_that_does_not_fit_is_refused(change: dict[str, object], match: str) -> None:
    spec = TensorSpec("x", "float32", (-1, 2))
    header, tensors = pack_request("m", "1", {"x": np.zeros((1, 2), np.float32)}, [spec])
    for key, value in change.items():
        if key == "shape":
            del header.inputs[0].shape[:]
            header.inputs[0].shape.extend(value)  # type: ignore[arg-type]
        else:
            setattr(header.inputs[0], key, value)
    with pytest.raises(TensorError, match=match):
        unpack_request(header, tensors, [spec])


def test_inputs_of_different_batch_are_refused() -> None:
    specs = [TensorSpec("a", "uint8", (-1, 1)), TensorSpec("b", "uint8", (-1, 1))]
    values = {"a": np.zeros((1, 1), np.uint8), "b": np.zeros((2, 1), np.uint8)}
    with pytest.raises(TensorError, match="disagree on the batch"):
        unpack_request(*pack_request("m", "1", values, specs), specs)


def test_raw_codec_does_not_copy() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    view = np.frombuffer(RAW.encode(array, "x"), np.float32)
    assert np.shares_memory(view, array)
    decoded = RAW.decode(memoryview(array).cast("B"), "float32", (2, 3), "x")
    assert np.shares_memory(decoded, array)


def test_largest_message_that_is_sane_is_read_and_the_next_one_refused() -> None:
    # A field of an empty id takes two bytes; a model's name of n bytes five more than that.
    fields, name = b"\x1a\x00" * 8192, (4 << 20) - 5
    assert framing.decode_request(fields)[0] == ModelInferRequest()
    with pytest.raises(TensorError, match="more than 8192 fields"):
        framing.decode_request(fields + b"\x1a\x00")
    longest = ModelInferRequest(model_name="x" * name)
    assert framing.decode_request(longest.SerializeToString())[0] == longest
    with pytest.raises(
        TensorError, match=f"outside the raw contents it has {(4 << 20) + 1:,} bytes"
    ):
        framing.decode_request(ModelInferRequest(model_name="x" * (name + 1)).SerializeToString())


def test_broken_bytes_are_said_to_be_broken_and_where() -> None:
    for data, why in [
        (b"\x08\xff", "no end of the number at byte 2"),
        (b"\x0a\x05abc", "field 1 ends 2 bytes after the message"),
        (b"\x1a\x00\x0b", "wire type 3 at byte 2"),
    ]:
        with pytest.raises(
            TensorError, match=f"no inference message: {why}. Check that both sides speak OIP"
        ):
            framing.decode_request(data)
    invalid = b"\x0a\x01\xff"  # a name that is no UTF-8
    for decode in (framing.decode_request, framing.decode_response, framing.decode_stream_response):
        with pytest.raises(TensorError, match="no inference message: [^N]"):
            decode(invalid)


def test_error_without_an_answer_is_read_by_itself() -> None:
    data = ModelStreamInferResponse(error_message="full.").SerializeToString()
    assert framing.decode_stream_response(data) == ("full.", ModelInferResponse(), [])


def test_answer_that_announces_other_than_it_brings_is_refused() -> None:
    answer = ModelInferResponse()
    answer.outputs.add(name="y", datatype="FP32", shape=[1])
    with pytest.raises(TensorError, match="announces 1 output and brings 2"):
        unpack_response(answer, [b"", b""])
    with pytest.raises(TensorError, match="came with 0 values in fp32_contents"):
        unpack_response(answer, [])


def test_parameter_that_is_absent_counts_as_nothing_and_stays_absent() -> None:
    header = ModelInferRequest()
    assert integer_parameter(header.parameters, "splitpoint_queue_ns") == 0
    assert not header.parameters


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"\x3a\x00" * (1 << 20), "more than 8192 fields"),
        (b"\x1a\x00" * (1 << 20), "more than 8192 fields"),
        (b"\x2a\x84\x80\x80\x03" + b"\x1a\xff\xff\xff\x02" + bytes(6291455), "outside the raw"),
    ],
)
def test_message_that_unfolds_to_many_times_its_size_is_refused(data: bytes, match: str) -> None:
    with pytest.raises(TensorError, match=match):
        framing.decode_request(data)
    with pytest.raises(TensorError, match=match):
        framing.decode_response(data)
