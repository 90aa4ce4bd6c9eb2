"""The map of the weights: which stretches of the one file the head of each cut reads."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import onnx
from onnx import TensorProto
from onnx.external_data_helper import ExternalDataInfo

from partitioner.bundle.manifest import (
    WEIGHTS_FILE,
    Cut,
)
from partitioner.bundle.weights_map import ByteRange, WeightsMap, save_weights_map
from partitioner.importer.weights import graphs_in
from protos.errors import ModelError

_GAP_BYTES = 4096
"""Weights of the same heads with less than this between them, which is mostly padding, are one stretch."""


_CHUNK = 1 << 20


def write_weights_map(folder: Path, cuts: Sequence[Cut]) -> None:
    """Write the map of the bundle in the making in `folder`, whose heads and weights are written."""
    readers: dict[tuple[int, int], list[str]] = {}
    for cut in cuts:
        if cut.head_graph:
            for part in sorted(set(_parts_of(folder / cut.head_graph))):
                readers.setdefault(part, []).append(cut.id)
    with (folder / WEIGHTS_FILE).open("rb") as file:
        stretches = []
        for start, end, heads in _joined(readers):
            sha256 = digest_part(file, start, end - start)
            if sha256 is None:
                raise ModelError(f"{WEIGHTS_FILE} ends before byte {end}. Import the model again.")
            stretches.append(
                ByteRange(offset=start, size_bytes=end - start, sha256=sha256, heads=heads)
            )
    save_weights_map(folder, WeightsMap(stretches=tuple(stretches)))


def _parts_of(graph: Path) -> Iterator[tuple[int, int]]:
    """Yield first byte and end of every weight that a graph refers to."""
    model = onnx.load(str(graph), load_external_data=False)
    for tensor in (tensor for part in graphs_in(model.graph) for tensor in part.initializer):
        if tensor.data_location == TensorProto.EXTERNAL:
            info = ExternalDataInfo(tensor)
            start, length = int(info.offset or 0), int(info.length or 0)
            if length:
                yield start, start + length


def _joined(
    readers: dict[tuple[int, int], list[str]],
) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Yield start, end and readers; neighbours that the same heads read are one."""
    start = end = 0
    heads: tuple[str, ...] = ()
    for (first, last), cuts in sorted(readers.items()):
        if heads == tuple(cuts) and first - end < _GAP_BYTES:
            end = max(end, last)
            continue
        if heads:
            yield start, end, heads
        start, end, heads = first, last, tuple(cuts)
    if heads:
        yield start, end, heads


def digest_part(file: BinaryIO, offset: int, size_bytes: int) -> str | None:
    """Return the sha256 of a part of a file; None where the file ends before it does."""
    file.seek(offset)
    found, left = hashlib.sha256(), size_bytes
    while left > 0:
        chunk = file.read(min(_CHUNK, left))
        if not chunk:
            return None
        found.update(chunk)
        left -= len(chunk)
    return found.hexdigest()
