"""Two to six bits a value before entropy coding: calibrated steps, symbols, zstd.

    byte 0       version << 4 | method: 0 packed, 1 packed and then zstd (magicless, with the
                 calibration's dictionary, its content size always stated)
    then         symbols, row-major, the first in the highest bits: four a byte for q2, two for q3
                 and q4, one for q5 and q6

Several symbols share a byte because Huffman codes, which zstd uses, take no less than one bit a
byte, and neighbours are alike.
"""

import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt
import zstandard

from protos.codecs.calibration import Ranges
from protos.codecs.half import check_float32, holds_floats
from protos.errors import TensorError, plural
from protos.tensors import Array, Buffer, TensorSpec

_VERSION = 1
_PACKED, _ZSTD = 0, 1
_LEVEL = 3
_SLAB = 1 << 18
"""Values that are decoded at a time."""
PER_BYTE = {2: 4, 3: 2, 4: 2, 5: 1, 6: 1}
"""Symbols of so many bits that share a byte."""

Bytes = npt.NDArray[np.uint8]
T = TypeVar("T", bound=np.generic)


class LowBitCodec:
    """float32 as symbols of `bits` bits by the calibration's ranges.

    Every value is decoded to one no further than a step from where its channel's range has clipped it.
    """

    def __init__(self, bits: int, ranges: Mapping[str, Ranges]) -> None:
        self.bits = bits
        self.name = f"q{bits}"
        self._coders = {value: _Coder(found) for value, found in ranges.items()}

    def accepts(self, spec: TensorSpec) -> bool:
        """The float32 values that the calibration knows."""
        coder = self._coders.get(spec.name)
        return holds_floats(spec) and coder is not None and coder.suits(spec.shape)

    def estimate_bytes(self, spec: TensorSpec) -> int:
        """Return the size before entropy coding."""
        return 1 + -(-math.prod(spec.sized()) // PER_BYTE[self.bits])

    def encode(self, array: Array, tensor: str) -> Buffer:
        """Return the coded symbols; TensorError for infinities and NaN."""
        return self._coders[tensor].squeeze(self.pack(array, tensor))

    def pack(self, array: Array, tensor: str) -> Bytes:
        """Return the packed symbols before entropy coding; TensorError for infinities and NaN."""
        values = cast(npt.NDArray[np.float32], array)
        return _pack(self._coders[tensor].symbols_of(values, tensor), self.bits)

    def decode(self, data: Buffer, dtype: str, shape: Sequence[int], tensor: str) -> Array:
        """Return the values; nothing larger than `shape` says is ever made."""
        check_float32(self.name, dtype, tensor)
        coder = self._coders.get(tensor)
        if coder is None or not coder.suits(shape):
            raise TensorError(
                f"tensor {tensor!r} came as {self.name} of {list(shape)}, and the calibration here knows "
                "no such value. Calibrate again, or send it raw."
            )
        size = math.prod(shape)
        packed = coder.stretch(data, -(-size // PER_BYTE[self.bits]), tensor)
        return coder.values_of(_unpack(packed, self.bits, tensor)[:size].reshape(shape))


def packed_symbols(ranges: Ranges, values: npt.NDArray[np.float32]) -> bytes:
    """Return the packed symbols of `values` before entropy coding: what dictionaries are taught with."""
    return _pack(_Coder(ranges).symbols_of(values, "x"), ranges.bits).tobytes()


class _Coder:
    """The ranges of one value, made ready. zstd's contexts are kept one a thread."""

    def __init__(self, ranges: Ranges) -> None:
        self._ranges = ranges
        self._top = (1 << ranges.bits) - 1
        self._levels = ranges.levels.reshape(-1)
        self._local = threading.local()
        self._dictionary = (
            zstandard.ZstdCompressionDict(ranges.dictionary) if ranges.dictionary else None
        )
        if self._dictionary:
            self._dictionary.precompute_compress(level=_LEVEL)

    def suits(self, shape: Sequence[int]) -> bool:
        axis = self._ranges.axis
        return axis is None or (axis < len(shape) and shape[axis] == self._ranges.low.size)

    def symbols_of(self, values: npt.NDArray[np.float32], tensor: str) -> Bytes:
        low, step = (
            self._along(part, values.ndim) for part in (self._ranges.low, self._ranges.step)
        )
        with np.errstate(over="ignore", invalid="ignore"):
            cells = values - low
            cells /= step
        if not np.isfinite(cells).all():
            raise TensorError(f"tensor {tensor!r} holds values that are not finite. Send it raw.")
        np.clip(cells, 0, self._top, out=cells)
        return cells.astype(np.uint8)

    def values_of(self, symbols: Bytes) -> Array:
        offsets = np.arange(self._ranges.low.size, dtype=np.intp) << self._ranges.bits
        own = np.broadcast_to(self._along(offsets, symbols.ndim), symbols.shape)
        values = np.empty(symbols.shape, np.float32)
        for slab in _slabs(symbols.shape):  # as indices take eight bytes a value
            values[slab] = self._levels.take(symbols[slab] + own[slab])
        return values

    def squeeze(self, packed: Bytes) -> bytes:
        plain = packed.tobytes()
        squeezed = self._compressor.compress(plain)
        method, kept = (_ZSTD, squeezed) if len(squeezed) < len(plain) else (_PACKED, plain)
        return bytes([_VERSION << 4 | method]) + kept

    def stretch(self, data: Buffer, size: int, tensor: str) -> Bytes:
        """Return exactly `size` packed bytes."""
        view = memoryview(data)
        version, method = divmod(view[0], 16) if len(view) else (0, 0)
        if version != _VERSION or method not in (_PACKED, _ZSTD):
            raise TensorError(
                f"tensor {tensor!r} came as low-bit version {version}, method {method}, and this side "
                f"reads version {_VERSION}, methods {_PACKED} and {_ZSTD}. Update the older side."
            )
        plain: Buffer = view[1:] if method == _PACKED else self._inflate(view[1:], size, tensor)
        if len(plain) != size:
            raise _broken(
                tensor, f"{plural(len(plain), 'byte')} of symbols, where {size:,} are announced"
            )
        return np.frombuffer(plain, np.uint8)

    def _inflate(self, data: memoryview, size: int, tensor: str) -> bytes:
        magicless = zstandard.FORMAT_ZSTD1_MAGICLESS
        try:
            announced = zstandard.get_frame_parameters(data, format=magicless).content_size
            if announced != size:
                raise _broken(
                    tensor, f"a frame of {plural(announced, 'byte')}, where {size:,} are announced"
                )
            return self._decompressor.decompress(data, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise _broken(tensor, str(error)) from error

    @property
    def _compressor(self) -> zstandard.ZstdCompressor:
        found = getattr(self._local, "compressor", None)
        if found is None:
            settings = zstandard.ZstdCompressionParameters.from_level(
                _LEVEL,
                format=zstandard.FORMAT_ZSTD1_MAGICLESS,
                write_content_size=True,
                write_checksum=False,
                write_dict_id=False,
            )
            found = self._local.compressor = zstandard.ZstdCompressor(
                dict_data=self._dictionary, compression_params=settings
            )
        return cast(zstandard.ZstdCompressor, found)

    @property
    def _decompressor(self) -> zstandard.ZstdDecompressor:
        found = getattr(self._local, "decompressor", None)
        if found is None:
            found = self._local.decompressor = zstandard.ZstdDecompressor(
                dict_data=self._dictionary, format=zstandard.FORMAT_ZSTD1_MAGICLESS
            )
        return cast(zstandard.ZstdDecompressor, found)

    def _along(self, part: npt.NDArray[T], ndim: int) -> npt.NDArray[T]:
        """Return one number a channel so that it meets the channels of a tensor of `ndim` axes."""
        axis = self._ranges.axis
        return part if axis is None else part.reshape([-1 if a == axis else 1 for a in range(ndim)])


def _slabs(shape: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Yield parts of a tensor, none of more than `_SLAB` values, that make up all of it."""
    if not shape:
        yield ()
        return
    rows = _SLAB // max(1, math.prod(shape[1:]))
    for start in range(0, shape[0], max(1, rows)):
        rest: Iterable[tuple[slice, ...]] = ((),) if rows else _slabs(shape[1:])
        for others in rest:
            yield (slice(start, start + max(1, rows)), *others)


def _pack(symbols: Bytes, bits: int) -> Bytes:
    flat, together = symbols.reshape(-1), PER_BYTE[bits]
    if together == 1:
        return flat
    if flat.size % together:
        flat = np.pad(flat, (0, -flat.size % together))
    packed = flat[::together].copy()
    for place in range(1, together):
        packed <<= bits
        packed |= flat[place::together]
    return packed


def _unpack(packed: Bytes, bits: int, tensor: str) -> Bytes:
    together = PER_BYTE[bits]
    if packed.size and int(packed.max()) >> bits * together:
        raise _broken(tensor, f"a symbol of more than {plural(bits, 'bit')}")
    if together == 1:
        return packed
    symbols = np.empty((packed.size, together), np.uint8)
    for place in range(together):
        np.right_shift(packed, bits * (together - 1 - place), out=symbols[:, place])
    symbols &= (1 << bits) - 1
    return symbols.reshape(-1)


def _broken(tensor: str, why: str) -> TensorError:
    return TensorError(f"tensor {tensor!r} came with broken low-bit data: {why}.")
