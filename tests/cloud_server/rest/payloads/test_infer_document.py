"""Requests in JSON, with and without binary data behind it: what is taken, and what is refused."""

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_server.rest.payloads.infer_document import MAX_JSON_BYTES, read_request, write_answer
from protos.errors import SplitpointError, TensorError, TooLargeError
from protos.inference_pb2 import ModelInferRequest, ModelInferResponse

X = {"name": "x", "datatype": "UINT8", "shape": [2], "data": [1, 2]}
B = {"name": "b", "datatype": "FP16", "shape": [1], "parameters": {"binary_data_size": 2}}


def read(document: Any, behind: bytes = b"") -> tuple[Any, ModelInferRequest, list[bytes]]:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    body = memoryview(text + behind)
    asked, header, raw = read_request(body, len(text) if behind else None, "m", "2")
    return asked, header, [bytes(view) for view in raw]


def test_request_has_the_form_that_grpc_gives_it() -> None:
    document = {
        "id": "7",
        "parameters": {"priority": 2, "a": True, "b": 1.5, "c": "text", "binary_data_output": True},
        "inputs": [X, {**B, "parameters": {"binary_data_size": 2, "codec": "half"}}],
        "outputs": [{"name": "y", "parameters": {"classification": 3, "binary_data": False}}],
        "unknown": {},
    }
    asked, header, raw = read(document, b"\x00\x3c")
    wanted = ModelInferRequest(model_name="m", model_version="2", id="7")
    wanted.parameters["priority"].int64_param = 2
    wanted.parameters["a"].bool_param = True
    wanted.parameters["b"].double_param = 1.5
    wanted.parameters["c"].string_param = "text"
    wanted.inputs.add(name="x", datatype="UINT8", shape=[2])
    half = wanted.inputs.add(name="b", datatype="FP16", shape=[1])
    half.parameters["codec"].string_param = "half"
    wanted.outputs.add(name="y").parameters["classification"].int64_param = 3
    assert header == wanted
    assert raw == [b"\x01\x02", b"\x00\x3c"]
    assert (asked.wants_binary("y"), asked.wants_binary("z")) == (False, True)


@pytest.mark.parametrize(
    ("document", "behind", "words"),
    [
        (b"", b"", "the body: Invalid JSON: EOF"),
        (b"[1]", b"", "the body: Input should be an object"),
        (b'{"inputs": ' + b"[" * 100_000, b"", "recursion limit exceeded"),
        (b'{"inputs": [{"name": "\xff"}]}', b"", "invalid unicode"),
        ({}, b"", "inputs: Field required"),
        ({"inputs": [1] * 100_000}, b"", "inputs.0: Input should be an object"),
        ({"inputs": [X] * 1025}, b"", "inputs: List should have at most 1024"),
        ({"inputs": [{**X, "shape": [True]}]}, b"", "shape.0: Input should be a valid integer"),
        ({"inputs": [{**X, "shape": [2.0]}]}, b"", "shape.0: Input should be a valid integer"),
        ({"inputs": [{**X, "shape": [-2]}]}, b"", "a size below 0 or of more than 63 bits"),
        ({"inputs": [{**X, "shape": [2**63]}]}, b"", "a size below 0 or of more than 63 bits"),
        ({"inputs": [{**X, "shape": [1] * 65}]}, b"", "shape: List should have at most 64"),
        ({"inputs": [{**X, "data": "12"}]}, b"", "data: Input should be a valid array"),
        ({"inputs": [{**X, "name": 1}]}, b"", "name: Input should be a valid string"),
        ({"inputs": [{**X, "data": None}]}, b"", "'x' has neither data nor"),
        ({"inputs": [B]}, b"", "'b' has neither data nor, by its binary_data_size"),
        ({"inputs": [B]}, b"1", "where 1 byte are left"),
        ({"inputs": [B]}, b"123", "1 byte behind the JSON belong to no input"),
        ({"inputs": [X]}, b"1", "1 byte behind the JSON belong to no input"),
        ({"inputs": [{**B, "parameters": {"binary_data_size": -1}}]}, b"12", "neither data nor"),
        ({"inputs": [{**B, "parameters": {"binary_data_size": True}}]}, b"1", "neither data nor"),
        ({"inputs": [{**B, "parameters": {"binary_data_size": 10**30}}]}, b"1", "neither data"),
        ({"inputs": [{**X, "parameters": {"binary_data_size": 2}}]}, b"12", "both data and"),
        (
            {"inputs": [{**B, "parameters": {"shared_memory_region": "r"}}]},
            b"12",
            "'b' lies in shared memory, which this server does not support",
        ),
        ({"inputs": [X], "parameters": {"a": [1]}}, b"", "'a' is neither a string, a number"),
        ({"inputs": [X], "parameters": {"a": 2**63}}, b"", "'a' is neither a string, a number"),
        ({"inputs": [{**X, "name": "x" * 5000}]}, b"", "String should have at most 4096"),
        ({"inputs": [X], "id": 7}, b"", "id: Input should be a valid string"),
    ],
)
def test_broken_request_is_told_what_is_wrong(document: Any, behind: bytes, words: str) -> None:
    with pytest.raises(TensorError, match=words):
        read(document, behind)


@pytest.mark.parametrize("said", [0, 10_000])
def test_length_of_the_json_lies_within_the_body(said: int) -> None:
    with pytest.raises(TensorError, match="Inference-Header-Content-Length says"):
        read_request(memoryview(json.dumps({"inputs": [X]}).encode()), said, "m", "")


def test_json_is_bounded_before_it_is_read() -> None:
    with pytest.raises(TooLargeError, match="Send large tensors as binary data"):
        read(b" " * (MAX_JSON_BYTES + 1))


@pytest.mark.parametrize(
    "part", [b'{"inputs": [%s]}', b'{"parameters": {%s}, "inputs": []}', b'{"outputs": [%s]}']
)
def test_wrong_items_cost_no_more_than_their_json(part: bytes) -> None:
    """A list of errors, one for each item, would take hundreds of times as much."""
    item = b'"%d": []' if b"parameters" in part else b"[]"
    items = b",".join(item % n if b"%d" in item else item for n in range(100_000))
    tracemalloc.start()
    try:
        with pytest.raises(SplitpointError):
            read(part % items)
        assert tracemalloc.get_traced_memory()[1] < 40 * len(items)
    finally:
        tracemalloc.stop()


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)


@given(
    st.builds(
        lambda changes, outer: {**outer, "inputs": [{**X, **changes}]},
        st.dictionaries(st.sampled_from([*sorted(X), "parameters"]), _ANY),
        st.dictionaries(st.sampled_from(["id", "parameters", "outputs"]), _ANY),
    ),
    st.binary(max_size=8),
)
def test_whatever_comes_is_a_request_or_an_error_of_ours(document: Any, behind: bytes) -> None:
    try:
        _, header, raw = read(document, behind)
    except SplitpointError:
        return
    assert len(header.inputs) == len(raw)


def test_answer_is_json_or_binary_as_asked() -> None:
    answer = ModelInferResponse(model_name="m", model_version="3", id="7")
    answer.parameters["compute_ns"].int64_param = 5
    answer.outputs.add(name="y", datatype="FP32", shape=[1, 2])
    answer.outputs.add(name="h", datatype="FP16", shape=[1])
    raw = [np.array([0.5, np.nan], "<f4").tobytes(), b"\x00\x3c"]
    asked, _, _ = read(
        {"inputs": [], "outputs": [{"name": "h", "parameters": {"binary_data": True}}]}
    )
    text, behind = write_answer(answer, raw, asked)
    assert text == (
        b'{"model_name":"m","model_version":"3","parameters":{"compute_ns":5},"outputs":['
        b'{"name":"y","datatype":"FP32","shape":[1,2],"data":[0.5,NaN]},'
        b'{"name":"h","datatype":"FP16","shape":[1],"parameters":{"binary_data_size":2}}],"id":"7"}'
    )
    assert behind == [b"\x00\x3c"]
    with pytest.raises(TensorError, match="FP16 data via JSON is not supported, for output 'h'"):
        write_answer(answer, raw, read({"inputs": []})[0])
