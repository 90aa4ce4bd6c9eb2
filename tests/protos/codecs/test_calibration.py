"""The ranges that both sides share: their digest, and what does not fit together."""

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
        {"dictionary": bytes(1 << 17)},
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
