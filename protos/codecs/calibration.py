"""The calibration of low-bit codecs: ranges of a bundle's values, which both sides must share."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from protos.errors import BundleError

LOW_BITS = (2, 3, 4, 5, 6)
MAX_CHANNELS = 2048
MAX_DICTIONARY_BYTES = 1 << 16
_SLACK = 1e-3
"""Share of a step that a level may lie outside its symbol's bounds, beside the rounding of float32."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Ranges:
    """The ranges by which the channels of one value are quantised to `bits`.

    `axis`: that of the channels, None for one range over all; `low`, `step` [channels]: symbol k
    goes from low + k·step to low + (k + 1)·step, and what lies beyond is clipped; `levels`
    [channels, 2^bits]: what each symbol is decoded to, between its bounds; `dictionary`: one of zstd,
    perhaps empty. Raises BundleError when these do not fit together.
    """

    bits: int
    axis: int | None
    low: Floats = field(repr=False)
    step: Floats = field(repr=False)
    levels: Floats = field(repr=False)
    dictionary: bytes = field(repr=False)

    def __post_init__(self) -> None:
        channels = self.low.size
        fits = (
            self.bits in LOW_BITS
            and (self.axis is None or 0 < self.axis < 16)
            and 1 <= channels <= MAX_CHANNELS
            and (self.axis is not None or channels == 1)
            and self.low.shape == self.step.shape == (channels,)
            and self.levels.shape == (channels, 1 << self.bits)
            and all(part.dtype == np.float32 for part in self._arrays)
            and len(self.dictionary) <= MAX_DICTIONARY_BYTES
        )
        if not fits or not all(np.isfinite(part).all() for part in self._arrays):
            raise BundleError("the calibration holds ranges that do not fit together.")
        if not (self.step > 0).all():
            raise BundleError("the calibration holds a range without width.")
        low, step = (part.astype(np.float64)[:, None] for part in (self.low, self.step))
        cells = (self.levels - low) / step - np.arange(1 << self.bits)
        largest = np.maximum(np.abs(low), np.abs(low + step * (1 << self.bits)))
        slack = _SLACK + np.finfo(np.float32).eps * largest / step
        if (cells < -slack).any() or (cells > 1 + slack).any():
            raise BundleError("the calibration holds levels outside the bounds of their symbols.")

    @property
    def _arrays(self) -> tuple[Floats, Floats, Floats]:
        return self.low, self.step, self.levels

    def update(self, digest: "hashlib._Hash") -> None:
        """Feed all that both sides must have in common to a digest."""
        digest.update(f"{self.bits}/{self.axis}/{self.low.size}/{len(self.dictionary)};".encode())
        for part in self._arrays:
            digest.update(np.ascontiguousarray(part, "<f4").tobytes())
        digest.update(self.dictionary)


@dataclass(frozen=True, eq=False)
class Calibration:
    """The ranges of a bundle's values, by the value's name and by the number of bits."""

    by_value: Mapping[str, Mapping[int, Ranges]] = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """Sha256 in hex over everything that encoder and decoder must have in common."""
        digest = hashlib.sha256()
        for value, ranges in self._sorted():
            digest.update(f"{len(value)}:{value};".encode())
            ranges.update(digest)
        return digest.hexdigest()

    @property
    def mark(self) -> str:
        """The digest's first 16 digits, which go with every request: whole, they would double a small one."""
        return self.digest[:16]

    def of_bits(self, bits: int) -> dict[str, Ranges]:
        """Return the ranges for one number of bits, by the value's name."""
        return {value: found[bits] for value, found in self.by_value.items() if bits in found}

    def _sorted(self) -> Iterator[tuple[str, Ranges]]:
        for value in sorted(self.by_value):
            for bits in sorted(self.by_value[value]):
                yield value, self.by_value[value][bits]
