"""The ranges that both sides share: their digest, and what does not fit together."""

import hashlib
import struct
from collections.abc import Callable

import numpy as np
import pytest

from protos.codecs.calibration import Calibration, Ranges
from protos.codecs.registry import get_codec
from protos.errors import BundleError, MismatchError
from protos.wire.messages import pack_request, unpack_request
from tests.kit.calibrations import KNOWN, SHAPE, SPEC, calibration, ranges


@pytest.mark.parametrize("ours", [None, Calibration({"x": {2: ranges(2, channels=1)}})])
def test_another_calibration_is_a_mismatch(ours: Calibration | None) -> None:
    values = {"x": np.ones(SHAPE, np.float32)}
    header, buffers = pack_request(
        "m", "1", values, [SPEC], get_codec("q2", KNOWN), calibration=KNOWN
    )
    with pytest.raises(MismatchError, match=KNOWN.mark):
        unpack_request(header, buffers, [SPEC], ours)


def test_digest_holds_everything_that_both_sides_must_share() -> None:
    assert calibration().digest == KNOWN.digest
    assert calibration(dictionary=b"abc").digest != KNOWN.digest
    moved = ranges(2)
    changes: list[Callable[[], Ranges]] = [
        lambda: Ranges(2, 1, moved.low, moved.step, moved.levels + np.float32(0.01), b""),
        lambda: Ranges(2, 2, moved.low, moved.step, moved.levels, b""),
    ]
    base = Calibration({"x": {2: moved}}).digest
    assert all(Calibration({"x": {2: change()}}).digest != base for change in changes)
    assert Calibration({"y": {2: moved}}).digest != base


@pytest.mark.parametrize(
    "change",
    [
        {"bits": 7},
        {"axis": 0},
        {"step": np.zeros(3, np.float32)},
        {"step": np.array([1, 1, np.nan], np.float32)},
        {"low": np.zeros(2, np.float32)},
        {"levels": np.full((3, 4), 9, np.float32)},
        {
            "levels": ranges(2).levels - np.float32([[0.26], [0.52], [0.78]])
        },  # below by 0.02 of a step
        {"levels": ranges(2).levels + np.float32([[0.26], [0.52], [0.78]])},
        {"levels": ranges(2).levels[:, :3]},
        {"levels": ranges(2).levels.astype(np.float64)},
        {"step": -ranges(2).step},
        {"axis": 16},
        {"axis": None},
        {"dictionary": bytes((1 << 16) + 1)},
    ],
)
def test_ranges_that_do_not_fit_together_are_refused(change: dict[str, object]) -> None:
    good = ranges(2)
    fields: dict[str, object] = {
        "bits": 2, "axis": 1, "low": good.low, "step": good.step, "levels": good.levels,
        "dictionary": b"",
    }  # fmt: skip
    with pytest.raises(BundleError, match="the calibration holds"):
        Ranges(**{**fields, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("axis", [1, 15])
@pytest.mark.parametrize("channels", [1, 2048])
def test_ranges_at_every_limit_are_taken_and_one_channel_more_is_not(
    axis: int, channels: int
) -> None:
    good = ranges(3, channels)
    lowest = good.low[:, None] + good.step[:, None] * np.arange(8, dtype=np.float32)
    for levels in (lowest, lowest + good.step[:, None]):  # the bounds of the symbols
        found = Ranges(3, axis, good.low, good.step, levels, bytes(1 << 16))
        assert found.levels.shape == (channels, 8)
    one = ranges(3, 1)
    assert Ranges(3, None, one.low, one.step, one.levels, b"").axis is None
    more = ranges(2, 2048)
    parts = (np.repeat(each, 2, axis=0)[:2049] for each in (more.low, more.step, more.levels))
    with pytest.raises(BundleError, match="do not fit together"):
        Ranges(2, 1, *parts, b"")


def test_digest_is_over_words_and_little_endian_numbers() -> None:
    found = Calibration({"b": {3: ranges(3)}, "a": {4: ranges(4), 2: ranges(2, dictionary=b"zz")}})
    wanted = hashlib.sha256()
    for name, bits, size in (("a", 2, 2), ("a", 4, 0), ("b", 3, 0)):
        known = found.by_value[name][bits]
        wanted.update(f"1:{name};{bits}/1/3/{size};".encode())
        for part in (known.low, known.step, known.levels):
            wanted.update(struct.pack(f"<{part.size}f", *part.reshape(-1)))
        wanted.update(known.dictionary)
    assert found.digest == wanted.hexdigest()
    assert found.mark == wanted.hexdigest()[:16]


def test_levels_far_from_zero_may_be_off_by_the_rounding_of_float32() -> None:
    # At 1e6 float32 tells 0.06 apart: a step of 0.5 from there begins 12 % of a step off.
    low = np.array([1e6], np.float32)
    levels = np.array([[1e6, 1e6 + 0.5, 1e6 + 1, 1e6 + 1.5]]) - 0.06
    assert Ranges(2, 1, low, np.array([0.5], np.float32), levels.astype(np.float32), b"").bits == 2
    with pytest.raises(BundleError, match="outside the bounds"):
        Ranges(2, 1, low, np.array([0.5], np.float32), (levels - 0.25).astype(np.float32), b"")
