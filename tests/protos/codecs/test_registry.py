"""Codecs by name, which of them takes what, and the bytes of every format."""

import numpy as np
import pytest

from protos.codecs.calibration import Calibration
from protos.codecs.registry import RAW, codec_for, codecs_for, get_codec
from protos.errors import TensorError, UnknownNameError
from protos.names import PARAM_CODEC
from protos.tensors import TensorSpec
from protos.wire.messages import pack_request, unpack_request
from tests.kit.calibrations import KNOWN, SHAPE, SPEC, ranges

GOLDEN: list[tuple[str, str, list[float]]] = [
    ("half", "003c00c1003800bcff7b0000", [1.0, -2.5, 0.5, -1.0, 65504.0, 0.0]),
    # Version 1, low -1.0, step 0.5, symbols.
    ("int8", "01000080bf0000003f000102030405", [-1.0, -0.5, 0.0, 0.5, 1.0, 1.5]),
    # Packed: 0 1 2 3 | 0 1 → 0b00011011 0b00010000; 3 bits: 0 1 | 2 3 | 0 7; 4 bits: 0 1 | 2 15 | 4 5.
    ("q2", "101b10", [-0.75, -0.25, 0.25, 0.75, -0.75, -0.25]),
    ("q3", "10011307", [-0.75, -0.25, 0.25, 0.75, -0.75, 2.75]),
    ("q4", "10012f45", [-0.75, -0.25, 0.25, 6.75, 1.25, 1.75]),
    ("q5", "1000010203041f", [-0.75, -0.25, 0.25, 0.75, 1.25, 14.75]),
    ("q6", "1000010203043f", [-0.75, -0.25, 0.25, 0.75, 1.25, 30.75]),
]

IMAGE = TensorSpec("image", "uint8", (-1, 48, 64, 3))


def test_codec_applies_to_what_it_accepts_and_the_rest_travels_raw() -> None:
    jpeg = get_codec("jpeg")
    assert codec_for(jpeg, IMAGE) is jpeg
    assert codec_for(jpeg, TensorSpec("x", "float32", (-1, 3))) is RAW
    assert codecs_for((IMAGE,)) == (RAW, jpeg, get_codec("webp"))


@pytest.mark.parametrize("name", ["png", "jpeg-0", "jpeg-101", "jpeg-", "", "RAW"])
def test_unknown_codec_is_refused(name: str) -> None:
    with pytest.raises(UnknownNameError, match="Use raw, half"):
        get_codec(name)


def test_names_lead_back_to_their_codec() -> None:
    for name in ("raw", "half", "int8", "jpeg-75", "jpeg-90", "webp-80"):
        assert get_codec(name).name == name
    assert get_codec("jpeg").name == "jpeg-75"
    assert get_codec("webp").name == "webp-75"


@pytest.mark.parametrize(("name", "data", "values"), GOLDEN, ids=[row[0] for row in GOLDEN])
def test_golden_bytes_hold_each_format(name: str, data: str, values: list[float]) -> None:
    known = Calibration({"x": {bits: ranges(bits, channels=1) for bits in range(2, 7)}})
    codec = get_codec(name, known)
    shape = (1, 1, 6)
    decoded = codec.decode(bytes.fromhex(data), "float32", shape, "x")
    np.testing.assert_array_equal(decoded.reshape(-1), np.array(values, np.float32))
    if name != "int8":  # whose encoder would choose a tighter range
        assert bytes(codec.encode(decoded, "x")).hex() == data


@pytest.mark.parametrize("shape", [(), (1, 0, 4), (0,)])
def test_scalars_and_empty_tensors_travel_raw(shape: tuple[int, ...]) -> None:
    spec = TensorSpec("x", "float32", shape)
    assert [codec.name for codec in codecs_for((spec,), KNOWN)] == ["raw"]


@pytest.mark.parametrize("name", ["half", "int8", "q2"])
def test_other_types_and_unknown_values_are_refused(name: str) -> None:
    codec = get_codec(name, KNOWN)
    assert not codec.accepts(TensorSpec("x", "int64", (-1, 3, 4, 5)))
    with pytest.raises(TensorError, match="holds float32. Send it raw"):
        codec.decode(b"", "int64", SHAPE, "x")


@pytest.mark.parametrize("name", ["int8", "q2", "q6"])
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_travel_raw(name: str, odd: float) -> None:
    x = np.zeros(SHAPE, np.float32)
    x[0, 1, 2, 3] = odd
    codec = get_codec(name, KNOWN)
    with pytest.raises(TensorError, match="not finite"):
        codec.encode(x, "x")
    header, buffers = pack_request("m", "1", {"x": x}, [SPEC], codec, calibration=KNOWN)
    assert PARAM_CODEC not in header.inputs[0].parameters
    np.testing.assert_array_equal(unpack_request(header, buffers, [SPEC], KNOWN)["x"], x)


def test_frontier_of_several_values_travels_as_each_can() -> None:
    specs = [SPEC, TensorSpec("n", "int64", (-1, 2)), TensorSpec("y", "float32", (-1, 2))]
    values = {
        "x": np.ones(SHAPE, np.float32),
        "n": np.array([[1, 2]]),
        "y": np.array([[0.5, 1.5]], np.float32),
    }
    header, buffers = pack_request(
        "m", "1", values, specs, get_codec("q4", KNOWN), calibration=KNOWN
    )
    names = [tensor.parameters[PARAM_CODEC].string_param for tensor in header.inputs]
    assert names == ["q4", "", ""]
    decoded = unpack_request(header, buffers, specs, KNOWN)
    np.testing.assert_array_equal(decoded["n"], values["n"])
    np.testing.assert_array_equal(decoded["y"], values["y"])
