"""The accuracy that an option costs, measured against the whole model, with its uncertainty."""

import math
from typing import Any, Literal

from pydantic import Field

from partitioner.common.defaults import DEFAULT_ACCURACY_DROP
from partitioner.common.frozen_model import FrozenModel
from protos.codecs.registry import codec_name
from protos.names import EDGE

Z95 = 1.959964
"""Deviations of a normal distribution within which 95 % of it lie."""

Measure = Literal["accuracy", "agreement", "error"]


class Accuracy(FrozenModel):
    """One (cut, codec) on `samples` inputs that its ranges have never seen.

    Classifiers: `agreeing` samples have the whole model's strongest class; of `labelled` ones `right`
    are right, and the whole model has `whole_right`. Others: `error` is the mean over samples of
    |output - whole|₂ / |whole|₂, the worst output of each.
    """

    cut: str
    codec: str
    samples: int = Field(ge=1)
    payload_bytes: float = Field(ge=0)
    """Mean of the encoded frontier, without the message around it."""
    agreeing: int | None = Field(default=None, ge=0)
    labelled: int = Field(default=0, ge=0)
    right: int = Field(default=0, ge=0)
    whole_right: int = Field(default=0, ge=0)
    error: float | None = Field(default=None, ge=0)

    @property
    def measure(self) -> Measure:
        """What `drop_points` is of: accuracy where there are labels, else agreement, else the error."""
        if self.labelled:
            return "accuracy"
        return "agreement" if self.agreeing is not None else "error"

    @property
    def drop_points(self) -> float:
        """Percentage points lost: of accuracy, of agreement with the whole model, or of its output."""
        low, high = self.right, self.whole_right
        if self.measure == "accuracy":
            return 100 * (high - low) / self.labelled
        if self.agreeing is not None:
            return 100 * (self.samples - self.agreeing) / self.samples
        return 100 * (self.error or 0.0)

    @property
    def interval_points(self) -> tuple[float, float] | None:
        """The 95 % interval of `drop_points`: Wilson's for the share, beside the whole model's on the
        same samples; None for an error, which is no share."""
        if self.measure == "accuracy":
            low, high = wilson(self.right, self.labelled)
            whole = self.whole_right / self.labelled
            return 100 * (whole - high), 100 * (whole - low)
        if self.agreeing is not None:
            low, high = wilson(self.agreeing, self.samples)
            return 100 * (1 - high), 100 * (1 - low)
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return what was measured as plain data, with what follows from it."""
        interval = self.interval_points
        return {
            **self.model_dump(mode="json"),
            "measure": self.measure,
            "drop_points": self.drop_points,
            "interval_points": None if interval is None else list(interval),
        }


def wilson(hits: int, trials: int, z: float = Z95) -> tuple[float, float]:
    """Return the interval of a share (E. B. Wilson, JASA 22(158), 1927), 95 % by default."""
    share = hits / trials
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    middle, scale = share + z * z / (2 * trials), 1 + z * z / trials
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def is_allowed(
    cut: str, codec: str, measured: Accuracy | None, most_points: float | None, *, asked: bool
) -> bool:
    """Tell whether a plan may offer an option.

    Exact ones always. One whose loss was measured, if it is no more than `most_points` (None:
    DEFAULT_ACCURACY_DROP). One whose loss is unknown, only without a bound, and only as an image
    codec, which cameras use anyway. A codec that was `asked` for by name needs to keep a given bound
    only.
    """
    if cut == EDGE or codec == "raw" or (asked and most_points is None):
        return True
    if measured is not None:
        return measured.drop_points <= (
            DEFAULT_ACCURACY_DROP if most_points is None else most_points
        )
    return most_points is None and codec_name(codec).startswith(("jpeg", "webp"))
