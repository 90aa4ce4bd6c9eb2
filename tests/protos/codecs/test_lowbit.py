"""Low-bit codes: their stated bounds, their bytes, and what they say to lies."""

import tracemalloc

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from protos.codecs.calibration import Calibration
from protos.codecs.registry import codecs_for, get_codec
from protos.errors import TensorError, TooLargeError, UnknownNameError
from protos.inference_pb2 import ModelInferRequest
from protos.names import PARAM_CODEC
from protos.tensors import Array, TensorSpec
from protos.wire.messages import pack_request, unpack_request
from tests.kit.calibrations import KNOWN, SHAPE, SPEC, calibration, ranges


def framed(body: bytes, **settings: bool) -> bytes:
    """Low-bit bytes whose zstd frame holds `body`."""
    parameters = zstandard.ZstdCompressionParameters(
        format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_checksum=False, **settings
    )
    return b"\x11" + zstandard.ZstdCompressor(compression_params=parameters).compress(body)


@settings(max_examples=100)
@given(
    st.integers(2, 6),
    st.integers(1, 3).flatmap(
        lambda n: hnp.arrays(np.float32, (n, *SHAPE[1:]), elements=st.floats(-20, 20, width=32))
    ),
)
def test_low_bit_is_within_a_step_of_the_clipped_value(bits: int, x: Array) -> None:
    codec = get_codec(f"q{bits}", KNOWN)
    y = codec.decode(codec.encode(x, "x"), "float32", x.shape, "x")
    found = ranges(bits)
    low, step = (part.reshape(1, -1, 1, 1) for part in (found.low, found.step))
    clipped = np.clip(x, low, low + step * (1 << bits))
    assert (np.abs(y - clipped) <= step * (1 + 1e-5)).all()
    assert len(codec.encode(x, "x")) <= 1 + -(-x.size * bits // 4)


def test_low_bit_by_hand() -> None:
    # Channel 0: low -1, step 0.5. Symbols 0 … 3 begin at -1, -0.5, 0, 0.5; their middles are the levels.
    known = Calibration({"x": {2: ranges(2, channels=1)}})
    codec = get_codec("q2", known)
    x = np.array([[[-9.0, -0.6, -0.4, 0.1, 0.9, 9.0, 0.49]]], np.float32)
    data = bytes(codec.encode(x, "x"))
    # Symbols 0 0 1 2 | 3 3 2 and a zero behind: 0b00000110, 0b11111000; too few for zstd to help.
    assert data == bytes([0x10, 0b00000110, 0b11111000])
    y = codec.decode(data, "float32", x.shape, "x")
    np.testing.assert_array_equal(y, [[[-0.75, -0.75, -0.25, 0.25, 0.75, 0.75, 0.25]]])


def test_golden_bytes_of_a_zstd_frame() -> None:
    # 0x11, then a magicless frame: descriptor 0x20 (one segment, one byte of size), 5 bytes, one
    # block of 0x1b repeated 5 times (RLE, last): 0x2b 0x00 0x00 0x1b. 20 symbols: 0 1 2 3, five times.
    data = bytes.fromhex("11" + "20" + "05" + "2b0000" + "1b")
    known = Calibration({"x": {2: ranges(2, channels=1)}})
    y = get_codec("q2", known).decode(data, "float32", (1, 1, 20), "x")
    np.testing.assert_array_equal(y.reshape(-1), np.array([-0.75, -0.25, 0.25, 0.75] * 5, "f4"))


def test_low_bit_squeezes_what_repeats_and_uses_the_dictionary() -> None:
    rng = np.random.default_rng(0)
    patterns = rng.standard_normal((8, 1, 3, 32, 32)).astype(np.float32)
    plain = get_codec("q4", calibration())
    one = bytes(plain.encode(patterns[0], "x"))
    taught = get_codec(
        "q4",
        calibration(
            dictionary=zstandard.ZstdDecompressor(
                format=zstandard.FORMAT_ZSTD1_MAGICLESS
            ).decompress(one[1:], max_output_size=1 << 16)
        ),
    )
    again = taught.encode(patterns[0], "x")
    assert len(again) < len(one) / 10
    np.testing.assert_array_equal(
        taught.decode(again, "float32", patterns[0].shape, "x"),
        plain.decode(one, "float32", patterns[0].shape, "x"),
    )


def bad_ranges(low: float, step: float) -> bytes:
    return b"\x01" + np.array([low, step], "<f4").tobytes() + bytes(6)


@pytest.mark.parametrize(
    ("name", "data", "match"),
    [
        ("half", bytes(11), "11 bytes.*takes 12"),
        ("int8", b"", "0 bytes.*takes 15"),
        ("int8", bytes(16), "16 bytes.*takes 15"),
        ("int8", b"\x02" + bytes(14), "version 2, and this side reads 1"),
        ("int8", bad_ranges(np.nan, 1), "range that is none"),
        ("int8", bad_ranges(0, np.inf), "range that is none"),
        ("int8", bad_ranges(0, -1), "range that is none"),
        ("int8", bad_ranges(-np.inf, np.inf), "range that is none"),
        ("int8", bad_ranges(3e38, 3e38), "range that is none"),
        ("q3", b"", "version 0"),
        ("q3", b"\x20\x01\x13\x07", "version 2, method 0.*reads version 1"),
        ("q3", b"\x12\x01\x13\x07", "method 2"),
        ("q3", b"\x10\x01\x13", "2 bytes of symbols, where 3"),
        ("q3", b"\x10\x01\x13\x07\x07", "4 bytes of symbols, where 3"),
        ("q3", b"\x10\x01\x13\x47", "symbol of more than 3 bits"),
        ("q6", b"\x10\x00\x01\x02\x03\x04\x40", "symbol of more than 6 bits"),
        ("q3", b"\x11", "broken low-bit data"),
        ("q3", framed(b"\x01\x13\x07")[:-2], "broken low-bit data"),
        ("q3", framed(b"\x01\x13\x07") + b"\0", "broken low-bit data"),
        ("q3", framed(bytes(1 << 28)), "frame of 268,435,456 bytes, where 3"),
        ("q3", framed(bytes(3), write_content_size=False), "frame of .* where 3"),
    ],
)  # fmt: skip
def test_lies_are_refused_before_anything_is_allocated(name: str, data: bytes, match: str) -> None:
    known = Calibration({"x": {bits: ranges(bits, channels=1) for bits in range(2, 7)}})
    codec = get_codec(name, known)
    tracemalloc.start()
    try:
        with pytest.raises(TensorError, match=match):
            codec.decode(data, "float32", (1, 1, 6), "x")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_frame_that_holds_more_than_it_announces_is_refused() -> None:
    # One segment of 3 bytes announced; its one block repeats a byte 2,000,000 times (RLE).
    block = (2_000_000 << 3 | 1 << 1 | 1).to_bytes(3, "little")
    data = b"\x11" + b"\x20\x03" + block + b"\x01"
    with pytest.raises(TensorError, match="broken low-bit data"):
        get_codec("q3", Calibration({"x": {3: ranges(3, channels=1)}})).decode(
            data, "float32", (1, 1, 6), "x"
        )


def test_batch_that_unfolds_beyond_the_limit_is_refused_and_one_sample_never() -> None:
    # A frame of 2^20 zeros takes some ten bytes; at four symbols a byte it is 2^22 float32, 16 MiB.
    known = Calibration({"x": {2: ranges(2, channels=1)}})
    size, batch = 1 << 10, 1 << 12
    spec = TensorSpec("x", "float32", (-1, 1, size))

    def unpack(samples: int, most: int) -> Array:
        header = ModelInferRequest(model_name="m")
        tensor = header.inputs.add(name="x", datatype="FP32", shape=[samples, 1, size])
        tensor.parameters[PARAM_CODEC].string_param = "q2"
        data = framed(bytes(samples * size // 4))
        assert len(data) < 200
        return unpack_request(header, [data], [spec], known, most)["x"]

    wanted = batch * size * 4
    tracemalloc.start()
    try:
        with pytest.raises(
            TooLargeError, match=f"unfold to {wanted:,} bytes.*takes {wanted - 1:,}"
        ):
            unpack(batch, wanted - 1)
        assert tracemalloc.get_traced_memory()[1] < wanted / 4
    finally:
        tracemalloc.stop()
    assert unpack(batch, wanted).shape == (batch, 1, size)
    assert unpack(1, 1).shape == (1, 1, size)


@pytest.mark.parametrize(("name", "width"), [("webp", 16_384), ("jpeg", 65_536)])
def test_image_wider_than_its_format_travels_raw(name: str, width: int) -> None:
    # WebP has 14 bits for a side (RFC 9649, section 2.5); libjpeg takes 65,500 pixels.
    spec = TensorSpec("x", "uint8", (1, 1, width, 3))
    pixels = np.zeros(spec.shape, np.uint8)
    with pytest.raises(TensorError, match=f"cannot keep tensor 'x' of {width}x1"):
        get_codec(name).encode(pixels, "x")
    header, buffers = pack_request("m", "1", {"x": pixels}, [spec], get_codec(name))
    np.testing.assert_array_equal(unpack_request(header, buffers, [spec])["x"], pixels)


@pytest.mark.parametrize(("bits", "size"), [(2, 6), (3, 11), (4, 11), (5, 21), (6, 21)])
def test_size_before_entropy_coding_is_that_of_packed_symbols(bits: int, size: int) -> None:
    # 21 symbols, four a byte, two or one, and a byte of version and method before them.
    codec = get_codec(f"q{bits}", KNOWN)
    assert codec.estimate_bytes(TensorSpec("x", "float32", (-1, 3, 7, 1))) == 1 + size


def test_low_bit_takes_only_what_was_calibrated() -> None:
    codec = get_codec("q2", KNOWN)
    assert codec.accepts(SPEC)
    assert not codec.accepts(TensorSpec("y", "float32", SPEC.shape))
    assert not codec.accepts(TensorSpec("x", "float32", (-1, 4, 4, 5)))
    with pytest.raises(TensorError, match="knows no such value"):
        codec.decode(b"\x10", "float32", (1, 4, 4, 5), "x")


def test_low_bit_without_calibration_says_what_to_do() -> None:
    with pytest.raises(UnknownNameError, match="splitpoint calibrate"):
        get_codec("q2")
    assert [codec.name for codec in codecs_for((SPEC,))] == ["raw", "half", "int8"]
    names = [codec.name for codec in codecs_for((SPEC,), KNOWN)]
    assert names == ["raw", "half", "int8", "q2", "q3", "q4", "q5", "q6"]


@pytest.mark.parametrize("shape", [(3, 3, 40, 50), (40, 3, 4, 5), (2, 3, 1, 7), (1, 3, 90, 90)])
def test_values_decoded_in_slabs_are_those_of_one_lookup(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("protos.codecs.lowbit._SLAB", 130)
    x = np.random.default_rng(0).uniform(-4, 4, shape).astype(np.float32)
    codec, known = get_codec("q4", KNOWN), ranges(4)
    decoded = codec.decode(codec.encode(x, "x"), "float32", shape, "x")
    low, step = (part.reshape(-1, 1, 1) for part in (known.low, known.step))
    symbols = np.clip((x - low) / step, 0, 15).astype(int)
    for channel in range(3):
        np.testing.assert_array_equal(
            decoded[:, channel], known.levels[channel][symbols[:, channel]]
        )


@pytest.mark.parametrize("name", ["half", "int8", "q2", "q4", "q6"])
def test_decoding_takes_little_more_memory_than_what_comes_out(name: str) -> None:
    shape = (1, 3, 1024, 1024)
    x = np.random.default_rng(0).uniform(-2, 2, shape).astype(np.float32)
    codec = get_codec(name, KNOWN)
    data = codec.encode(x, "x")
    tracemalloc.start()
    try:
        codec.decode(data, "float32", shape, "x")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The values, symbols of a byte each, those packed, and a slab of indices.
    assert peak < 1.7 * x.nbytes
