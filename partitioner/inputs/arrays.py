"""Frames in .npy and .npz files, and in a stream of .npy arrays."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from partitioner.common.archive import BROKEN
from partitioner.common.units import plural
from partitioner.inputs.plain_arrays import conversion, plain_array
from protos.errors import SourceError, TensorError, reason
from protos.tensors import Array, TensorSpec

NPY_MAGIC = b"\x93NUMPY"


def frames_of(array: Array, spec: TensorSpec, where: str) -> Iterator[Array]:
    """Return the frames of an array: it is one, with or without batch axis, or many, stacked.

    Each comes out in this machine's byte order. Raises SourceError at once when it is neither.
    """
    shape = array.shape
    stackable = spec.shape[:1] in ((-1,), (1,))
    stacked = len(shape) > 0 and shape[0] > 0
    if _sample(array, spec, where).dtype.name != spec.dtype:
        raise _unfit(array, spec, where)
    if stackable and spec.fits((1, *shape)):
        return iter((plain_array(array[np.newaxis], spec),))
    if stackable and stacked and spec.fits((1, *shape[1:])):
        return (plain_array(array[index : index + 1], spec) for index in range(shape[0]))
    if stacked and spec.fits(shape[1:]):
        return (plain_array(array[index], spec) for index in range(shape[0]))
    if spec.fits(shape):
        return iter((plain_array(array, spec),))
    raise _unfit(array, spec, where)


def read_npy(path: Path, inputs: Sequence[TensorSpec]) -> Iterator[dict[str, Array]]:
    """Return the frames of an .npy file, mapped rather than read; SourceError at once if there are none."""
    spec = _only(inputs, path.name)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except BROKEN as error:
        raise _unreadable(path, error, "an array saved by numpy") from error
    if not isinstance(array, np.ndarray):
        raise SourceError(f"{path} holds no single array. Call it .npz if it is an archive.")
    return ({spec.name: frame} for frame in frames_of(array, spec, path.name))


def read_npz(path: Path, inputs: Sequence[TensorSpec]) -> Iterator[dict[str, Array]]:
    """Yield the frames of an .npz file that has one stacked array for each of the model's inputs.

    A plain number, as in `numpy.savez(…, rate=16000)`, counts for every frame.
    """
    try:
        # Opened here, since numpy leaves a file open that is no archive.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            arrays = dict(archive) if isinstance(archive, np.lib.npyio.NpzFile) else None
    except BROKEN as error:
        raise _unreadable(path, error, "a file of numpy.savez") from error
    if arrays is None:
        raise SourceError(f"{path} holds a single array, and no archive of them. Call it .npy.")
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
            if _is_pickled(error):
                raise _unreadable("the stream", error, "arrays of numbers") from error
            raise SourceError(
                f"the stream of arrays breaks off: {error}. Write each with numpy.save."
            ) from error
        for frame in frames_of(array, spec, "the stream"):
            yield {spec.name: frame}


def _sample(array: Array, spec: TensorSpec, where: str) -> Array:
    """Return a part of an array as a model gets it; SourceError when it holds no numbers."""
    try:
        return plain_array(array if array.ndim == 0 else array[:0], spec)
    except TensorError as error:
        raise SourceError(f"{where}: {error}") from error


def _side_by_side(
    arrays: Mapping[str, Array], inputs: Sequence[TensorSpec], path: Path
) -> Iterator[dict[str, Array]]:
    columns = [list(frames_of(arrays[spec.name], spec, path.name)) for spec in inputs]
    many = [(spec, len(column)) for spec, column in zip(inputs, columns, strict=True)]
    many = [(spec, count) for spec, count in many if arrays[spec.name].ndim > 0]
    if len({count for _, count in many}) > 1:
        counts = ", ".join(f"{spec.name}: {count}" for spec, count in many)
        raise SourceError(
            f"{path} holds different numbers of frames ({counts}). Give as many of each."
        )
    for number in range(many[0][1] if many else 1):
        yield {
            spec.name: column[number if arrays[spec.name].ndim else 0]
            for spec, column in zip(inputs, columns, strict=True)
        }


def _only(inputs: Sequence[TensorSpec], where: str) -> TensorSpec:
    if len(inputs) != 1:
        names = ", ".join(spec.name for spec in inputs)
        raise SourceError(
            f"{where} holds one array a frame, and the model takes {plural(len(inputs), 'input')} ({names}). "
            "Give an .npz with an array for each."
        )
    return inputs[0]


def _unfit(array: Array, spec: TensorSpec, where: str) -> SourceError:
    found = f"{where} holds {array.dtype.name}{list(array.shape)}"
    if 0 in array.shape:
        return SourceError(f"{found}, which is empty. Give an array with values for {spec.name!r}.")
    if array.dtype.name != spec.dtype:
        return SourceError(
            f"{found}, but {spec.name!r} takes {spec}. {conversion(array.dtype.name, spec)}"
        )
    return SourceError(
        f"{found}, but {spec.name!r} takes {spec}, one or many stacked along a first axis. Give it that "
        "shape."
    )


def _unreadable(where: object, error: BaseException, wanted: str) -> SourceError:
    if _is_pickled(error):
        return SourceError(
            f"{where} holds Python objects, and a model takes numbers. Save one array of numbers: "
            "numpy.save(…, numpy.stack(arrays))."
        )
    # What begins as no array numpy takes for a pickle, and says so.
    said = "it does not begin as such a file does" if "pickled" in str(error) else reason(error)
    return SourceError(f"{where} cannot be read: {said}. Give {wanted}.")


def _is_pickled(error: BaseException) -> bool:
    """Tell whether numpy has met an array of objects, which it would have to unpickle."""
    return "Object arrays" in str(error) or "Python objects in dtype" in str(error)
