"""Frames in .npy and .npz files, and in a stream of .npy arrays."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from partitioner.common.archive import BROKEN
from protos.errors import SourceError, reason
from protos.tensors import Array, TensorSpec

NPY_MAGIC = b"\x93NUMPY"


def frames_of(array: Array, spec: TensorSpec, where: str) -> Iterator[Array]:
    """Return the frames of an array: it is one, with or without batch axis, or many, stacked.

    Raises SourceError at once when it is neither.
    """
    shape = array.shape
    stackable = spec.shape[:1] in ((-1,), (1,))
    if array.dtype.name != spec.dtype:
        raise _unfit(array, spec, where)
    if stackable and spec.fits((1, *shape)):
        return iter((np.asarray(array)[np.newaxis],))
    if stackable and shape[:1] != (0,) and spec.fits((1, *shape[1:])):
        return (np.asarray(array[index : index + 1]) for index in range(shape[0]))
    if shape[:1] != (0,) and spec.fits(shape[1:]):
        return (np.asarray(array[index]) for index in range(shape[0]))
    if spec.fits(shape):
        return iter((np.asarray(array),))
    raise _unfit(array, spec, where)


def read_npy(path: Path, inputs: Sequence[TensorSpec]) -> Iterator[dict[str, Array]]:
    """Return the frames of an .npy file, mapped rather than read; SourceError at once if there are none."""
    spec = _only(inputs, path.name)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except BROKEN as error:
        raise SourceError(
            f"{path} cannot be read: {reason(error)}. Give an array saved by numpy."
        ) from error
    if not isinstance(array, np.ndarray):
        raise SourceError(f"{path} holds no single array. Call it .npz if it is an archive.")
    return ({spec.name: frame} for frame in frames_of(array, spec, path.name))


def read_npz(path: Path, inputs: Sequence[TensorSpec]) -> Iterator[dict[str, Array]]:
    """Yield the frames of an .npz file that has one stacked array for each of the model's inputs."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except BROKEN as error:
        raise SourceError(
            f"{path} cannot be read: {reason(error)}. Give a file of numpy.savez."
        ) from error
    if sorted(arrays) != sorted(spec.name for spec in inputs):
        takes = ", ".join(f"{spec.name} {spec}" for spec in inputs)
        raise SourceError(
            f"{path} holds {sorted(arrays)}, but the model takes exactly: {takes}. Name the arrays so."
        )
    yield from _side_by_side(arrays, inputs, path)


def read_npy_stream(file: IO[bytes], inputs: Sequence[TensorSpec]) -> Iterator[dict[str, Array]]:
    """Yield the frames of .npy arrays that follow each other in a stream, until it ends."""
    spec = _only(inputs, "the stream")
    while file.peek(1):  # type: ignore[attr-defined]
        try:
            array = np.lib.format.read_array(file, allow_pickle=False)
        except BROKEN as error:
            raise SourceError(
                f"the stream of arrays breaks off: {error}. Write each with numpy.save."
            ) from error
        for frame in frames_of(array, spec, "the stream"):
            yield {spec.name: frame}


def _side_by_side(
    arrays: Mapping[str, Array], inputs: Sequence[TensorSpec], path: Path
) -> Iterator[dict[str, Array]]:
    columns = [list(frames_of(arrays[spec.name], spec, path.name)) for spec in inputs]
    if len({len(column) for column in columns}) > 1:
        counts = ", ".join(f"{s.name}: {len(c)}" for s, c in zip(inputs, columns, strict=True))
        raise SourceError(
            f"{path} holds different numbers of frames ({counts}). Give as many of each."
        )
    for row in zip(*columns, strict=True):
        yield {spec.name: frame for spec, frame in zip(inputs, row, strict=True)}


def _only(inputs: Sequence[TensorSpec], where: str) -> TensorSpec:
    if len(inputs) != 1:
        names = ", ".join(spec.name for spec in inputs)
        raise SourceError(
            f"{where} holds one array a frame, and the model takes {len(inputs)} inputs ({names}). "
            "Give an .npz with an array for each."
        )
    return inputs[0]


def _unfit(array: Array, spec: TensorSpec, where: str) -> SourceError:
    return SourceError(
        f"{where} holds {array.dtype.name}{list(array.shape)}, but {spec.name!r} takes {spec}, one or "
        "many stacked along a first axis. Convert the array."
    )
