"""The levels that low-bit codes stand for, and how channels are found."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from partitioner.calibration.ranges import find_axis, find_ranges
from protos.codecs.calibration import Calibration
from protos.codecs.registry import get_codec


@settings(max_examples=20)
@example(1376, True)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_levels_are_the_means_of_what_they_stand_for(seed: int, relu: bool) -> None:
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.1, 5, 6)[:, None, None]
    values = rng.standard_normal((16, 6, 5, 5)) * scale + rng.normal(0, 3, 6)[:, None, None]
    values = np.maximum(values, 0) if relu else values
    values = values.astype(np.float32)
    errors = []
    for bits, found in find_ranges(values).items():
        codec = get_codec(f"q{bits}", Calibration({"x": {bits: found}}))
        decoded = codec.decode(codec.encode(values, "x"), "float32", values.shape, "x")
        errors.append(float(np.mean((decoded - values) ** 2)))
        inner = (decoded > found.low[:, None, None] + found.step[:, None, None]) & (
            decoded < found.low[:, None, None] + (2**bits - 1) * found.step[:, None, None]
        )
        for channel in range(6):
            for level in np.unique(decoded[:, channel][inner[:, channel]]):
                stands_for = values[:, channel][decoded[:, channel] == level]
                assert level == pytest.approx(stands_for.mean(), rel=1e-3, abs=1e-4)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01 * values.var()


def test_channels_are_found_by_what_tells_them_apart() -> None:
    rng = np.random.default_rng(0)
    offsets = rng.normal(0, 5, 7)
    noise = rng.standard_normal((9, 7, 6, 5)).astype(np.float32)
    assert find_axis((noise + offsets[:, None, None]).astype(np.float32)) == 1
    assert find_axis((noise.transpose(0, 2, 3, 1) + offsets).astype(np.float32)) == 3
    assert find_axis(noise[:, 0, 0, 0]) is None


def test_channel_that_never_moves_has_a_width_all_the_same() -> None:
    values = np.zeros((16, 3, 4, 4), np.float32)
    values[:, 1] = np.random.default_rng(0).standard_normal((16, 4, 4))
    for found in (*find_ranges(values).values(), *find_ranges(np.zeros_like(values)).values()):
        assert (found.step > 0).all()


@pytest.mark.parametrize("constant", [300, 1e5, -1e7])
def test_constant_channel_among_small_ones_is_kept(constant: float) -> None:
    # Its step, a thousandth of the others', is below what float32 resolves at 1e5: 2^-7.
    values = np.random.default_rng(0).standard_normal((40, 8, 6, 6)).astype(np.float32)
    values[:, 7] = constant
    found = find_ranges(values)
    assert sorted(found) == [2, 3, 4, 5, 6]
    for bits, one in found.items():
        codec = get_codec(f"q{bits}", Calibration({"x": {bits: one}}))
        decoded = codec.decode(codec.encode(values, "x"), "float32", values.shape, "x")
        np.testing.assert_allclose(decoded[:, 7], constant, rtol=2**-22, atol=0)


@pytest.mark.parametrize("scale", [np.finfo(np.float32).max, 1e-40])
def test_values_at_the_ends_of_float32_have_ranges_that_hold_or_none(scale: float) -> None:
    # Masks are 0 or -3.4e38: a span of the whole of float32, whose steps overflow it.
    mask = np.where(np.random.default_rng(0).random((40, 8, 6, 6)) < 0.5, 0, -scale)
    values = mask.astype(np.float32)
    for bits, one in find_ranges(values).items():
        codec = get_codec(f"q{bits}", Calibration({"x": {bits: one}}))
        decoded = codec.decode(codec.encode(values, "x"), "float32", values.shape, "x")
        np.testing.assert_allclose(decoded, values, atol=float(one.step.max()))
