"""Finding how to quantise the values that cross a cut, from what they were on calibration inputs.

For each channel the clip range with the least mean squared error is searched for. Its step is then
widened and drawn towards that of the other channels, because entropy coding follows: at a given rate
the error is least when all channels share one step (reverse water-filling; Cover and Thomas, Elements
of Information Theory, section 10.3.3), while a channel of another scale must not be lost. Symbols are
decoded to the mean of what they stood for.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import zstandard

from partitioner.inputs.division import choose_share
from protos.codecs.calibration import LOW_BITS, MAX_CHANNELS, Ranges
from protos.codecs.lowbit import LowBitCodec, packed_symbols
from protos.errors import BundleError, TensorError
from protos.tensors import Buffer

_WIDER, _WIDER_2 = 2.0, 1.6
"""Entropy coding makes a wider step pay: on the demo's model twice the best one takes a third fewer
bytes at q3 with the same accuracy. Two bits clip too much for that, and widen less."""
_NARROWEST = 1e-3
"""The least step, in those of all channels together: a channel that never moved may move one day."""
_SHRINKS = np.linspace(0.1, 1.0, 19)
_MAX_VALUES = 1 << 19
"""Of all channels together, drawn evenly, that a search looks at."""
_DICTIONARY_BYTES = 2048
_TAUGHT, _TESTED = 96, 32
_GAIN = 0.98

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


def find_ranges(values: Floats) -> dict[int, Ranges]:
    """Return the ranges of one value for each number of bits, from `values` [samples, …].

    `values` must be finite. Its first axis is no channel. Numbers of bits whose ranges float32 cannot
    hold (values near its largest, or among those that it has no full precision for) are left out.
    """
    axis = find_axis(values)
    channels = _by_channel(values, axis)
    found = {}
    for bits in LOW_BITS:
        try:
            ranges = _quantiser(channels, bits, axis)
            found[bits] = replace(ranges, dictionary=_teach(ranges, values))
        except (BundleError, TensorError):
            continue
    return found


def find_axis(values: Floats) -> int | None:
    """Return the axis whose channels' means explain most of the variance; None: there is none."""
    sizes = {axis: values.shape[axis] for axis in range(1, values.ndim)}
    candidates = [axis for axis, size in sizes.items() if 2 <= size <= MAX_CHANNELS]
    count = max(1, len(values) * _MAX_VALUES // max(values.size, 1))
    few = values[choose_share([None] * len(values), count)]

    def left_over(axis: int) -> float:
        others = tuple(other for other in range(values.ndim) if other != axis)
        return float(np.mean(few.var(axis=others, dtype=np.float64)))

    return min(candidates, key=left_over, default=None)


def _by_channel(values: Floats, axis: int | None) -> Floats:
    """Return [channels, a sample of the channel's values]."""
    rows = values.reshape(1, -1) if axis is None else np.moveaxis(values, axis, 0)
    rows = rows.reshape(rows.shape[0], -1)
    most = max(256, _MAX_VALUES // rows.shape[0])
    if rows.shape[1] <= most:
        return np.ascontiguousarray(rows)
    return rows[:, np.sort(np.random.default_rng(0).integers(0, rows.shape[1], most))]


def _quantiser(channels: Floats, bits: int, axis: int | None) -> Ranges:
    """Return the ranges, without a dictionary; BundleError where float32 cannot hold them."""
    count = 1 << bits
    wide = channels.astype(np.float64)
    middle = np.median(wide, axis=1)
    low, high = _least_error(wide, middle, count)
    step = (high - low) / count
    common = float(np.sqrt(np.mean(np.square(step)))) or 1.0
    step = np.maximum(
        (_WIDER if bits > 2 else _WIDER_2) * np.sqrt(step * common), _NARROWEST * common
    )
    # The middle of the values is the middle of a symbol: of most values nothing need be said.
    share = (middle - low) / np.maximum(high - low, np.finfo(np.float64).tiny)
    low = middle - (np.rint(share * (count - 1)) + 0.5) * step
    least, largest = np.finfo(np.float32).tiny, np.finfo(np.float32).max
    if step.min() < least or max(np.abs(low).max(), (low + count * step).max()) > largest:
        raise BundleError("the ranges lie beyond what float32 holds.")
    kept_low, kept_step = low.astype(np.float32), step.astype(np.float32)
    levels = _levels(channels, kept_low, kept_step, count)
    return Ranges(bits, axis, kept_low, kept_step, levels, b"")


def _least_error(channels: Doubles, middle: Doubles, count: int) -> tuple[Doubles, Doubles]:
    """Return the clip range of each channel that quantises it with the least squared error."""
    lowest, highest = channels.min(axis=1), channels.max(axis=1)
    best_low, best_high = lowest.copy(), highest.copy()
    least = np.full(len(channels), np.inf)
    for shrink in _SHRINKS:
        low, high = middle + shrink * (lowest - middle), middle + shrink * (highest - middle)
        step = np.maximum((high - low) / count, np.finfo(np.float64).tiny)[:, None]
        cells = np.clip(np.floor((channels - low[:, None]) / step), 0, count - 1)
        error = np.mean(np.square(low[:, None] + (cells + 0.5) * step - channels), axis=1)
        better = error < least
        least[better], best_low[better], best_high[better] = (
            error[better],
            low[better],
            high[better],
        )
    return best_low, best_high


def _levels(channels: Floats, low: Floats, step: Floats, count: int) -> Floats:
    """Return the mean of the values of each symbol, within its bounds; the middle where there are none."""
    # In float32, as the encoder does it: what lies on a bound must fall to the same side.
    cells = np.clip((channels - low[:, None]) / step[:, None], 0, count - 1).astype(np.intp)
    start, width = low.astype(np.float64)[:, None], step.astype(np.float64)[:, None]
    places = (cells + count * np.arange(len(channels))[:, None]).reshape(-1)
    size = count * len(channels)
    sums = np.bincount(places, channels.reshape(-1), size).reshape(-1, count)
    counts = np.bincount(places, minlength=size).reshape(-1, count)
    floors = start + np.arange(count) * width
    means = np.where(counts > 0, sums / np.maximum(counts, 1), floors + 0.5 * width)
    return np.clip(means, floors, floors + width).astype(np.float32)


def _teach(ranges: Ranges, values: Floats) -> bytes:
    """Return a zstd dictionary for what the ranges make of the values; empty if it would not help."""
    taught: list[Buffer] = [
        packed_symbols(ranges, sample[None]) for sample in values[_TESTED:][:_TAUGHT]
    ]
    try:
        dictionary = zstandard.train_dictionary(_DICTIONARY_BYTES, taught).as_bytes()
    except zstandard.ZstdError:  # too few samples, or too short
        return b""
    tested = values[:_TESTED]
    smaller = _mean_size(replace(ranges, dictionary=dictionary), tested) < _GAIN * _mean_size(
        ranges, tested
    )
    return dictionary if smaller else b""


def _mean_size(ranges: Ranges, samples: Floats) -> float:
    codec = LowBitCodec(ranges.bits, {"x": ranges})
    return float(np.mean([len(codec.encode(sample[None], "x")) for sample in samples]))
