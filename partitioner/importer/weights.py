"""One copy of the weights: every large constant moves into a single file that all graphs refer to."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from onnx.external_data_helper import ExternalDataInfo

from partitioner.common.units import format_size, plural
from partitioner.importer.onnx_graph import reads_of
from protos.errors import FileError, ModelError

INLINE_BYTES = 1024
"""Constants below this stay in the graph, where shape inference of the runtime can see them."""

_ALIGNMENT = 4096
_MAPPABLE_BYTES = 1 << 16
"""From this size on, tensors start at a page so that the runtime can map them."""

_CHUNK = 64 << 20

_STAYS_INLINE = frozenset({TensorProto.STRING, TensorProto.INT4, TensorProto.UINT4})
"""Text, and types of half a byte, whose layout in memory is not that of the file."""


def constants_to_initializers(graph: onnx.GraphProto) -> None:
    """Turn every Constant node into an initializer, in place."""
    rest = []
    for node in graph.node:
        tensor = _constant_value(node) if node.op_type == "Constant" else None
        if tensor is None:
            rest.append(node)
        else:
            tensor.name = node.output[0]
            graph.initializer.append(tensor)
    del graph.node[:]
    graph.node.extend(rest)


def order_by_use(graph: onnx.GraphProto) -> None:
    """Sort the weights by the first node that reads them, in place: what heads read comes first then."""
    first: dict[str, int] = {}
    for at, node in enumerate(graph.node):
        for name in reads_of(node):
            first.setdefault(name, at)
    graph.initializer.sort(key=lambda tensor: first.get(tensor.name, len(graph.node)))


def make_weights_dense(graph: onnx.GraphProto) -> None:
    """Turn sparse initializers into ordinary ones, in place; the runtime would do so when it loads."""
    for sparse in graph.sparse_initializer:
        values = numpy_helper.to_array(sparse.values)
        indices = numpy_helper.to_array(sparse.indices)
        dense = np.zeros(tuple(sparse.dims), values.dtype)
        places = tuple(indices.T) if indices.ndim == 2 else np.unravel_index(indices, dense.shape)
        dense[places] = values
        graph.initializer.append(numpy_helper.from_array(dense, sparse.values.name))
    del graph.sparse_initializer[:]


def graphs_in(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and the graphs inside its nodes (branches of If, bodies of Loop), at any depth."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from graphs_in(attribute.g)
            for body in attribute.graphs:
                yield from graphs_in(body)


def move_weights(graph: onnx.GraphProto, source: Path, target: Path) -> int:
    """Write all large initializers of `graph` to the file `target` and let them refer to it, in place.

    `source` is the folder that external data of the original lies in; it is copied in pieces, so models
    beyond memory and beyond protobuf's 2 GB pass. Returns the number of parameters.
    """
    parameters = 0
    _check_room(graph, source, target)
    with target.open("wb") as out:
        for tensor in (tensor for part in graphs_in(graph) for tensor in part.initializer):
            parameters += int(np.prod(tensor.dims, dtype=np.int64))
            if tensor.data_location == TensorProto.EXTERNAL:
                offset, length = _copy_external(tensor, source, out)
            else:
                raw = _raw_bytes(tensor)
                if raw is None or len(raw) < INLINE_BYTES:
                    continue
                offset, length = _append(out, raw)
            refer(tensor, target.name, offset, length)
    return parameters


def _check_room(graph: onnx.GraphProto, source: Path, target: Path) -> None:
    """Raise FileError where the external weights are more than the disk has room for, before any is written.

    A file of a few bytes can say that a thousand tensors are each all of a large one.
    """
    external = (
        ExternalDataInfo(tensor)
        for part in graphs_in(graph)
        for tensor in part.initializer
        if tensor.data_location == TensorProto.EXTERNAL
    )
    needed = sum(_length(info, source) for info in external)
    if needed > (free := shutil.disk_usage(target.parent).free):
        raise FileError(
            f"the weights take {format_size(needed)}, and the disk of {target.parent} has "
            f"{format_size(free)} left. Make room, or give another place; if the model is not your own, ask "
            "first why it is so large."
        )


def _length(info: ExternalDataInfo, source: Path) -> int:
    """Return how many bytes a tensor has in its file."""
    return int(info.length or (source / info.location).stat().st_size - int(info.offset or 0))


def _constant_value(node: onnx.NodeProto) -> TensorProto | None:
    if len(node.attribute) != 1:
        return None
    attribute = node.attribute[0]
    value = helper.get_attribute_value(attribute)
    if attribute.type == AttributeProto.TENSOR:
        return TensorProto.FromString(value.SerializeToString())
    if attribute.type in (AttributeProto.INT, AttributeProto.INTS):
        return numpy_helper.from_array(np.asarray(value, dtype=np.int64))
    if attribute.type in (AttributeProto.FLOAT, AttributeProto.FLOATS):
        return numpy_helper.from_array(np.asarray(value, dtype=np.float32))
    return None


def _raw_bytes(tensor: TensorProto) -> bytes | None:
    """Return the little-endian bytes of an inline tensor; None where it must stay as it is (text)."""
    if tensor.HasField("raw_data"):
        return tensor.raw_data
    if tensor.data_type in _STAYS_INLINE:
        return None
    return numpy_helper.to_array(tensor).tobytes()


def _append(out: BinaryIO, data: bytes) -> tuple[int, int]:
    align(out, len(data))
    offset = out.tell()
    out.write(data)
    return offset, len(data)


def _copy_external(tensor: TensorProto, source: Path, out: BinaryIO) -> tuple[int, int]:
    info = ExternalDataInfo(tensor)
    path = source / info.location
    start = int(info.offset or 0)
    length = _length(info, source)
    align(out, length)
    offset, left = out.tell(), length
    with path.open("rb") as data:
        data.seek(start)
        while left > 0:
            chunk = data.read(min(_CHUNK, left))
            if not chunk:
                raise ModelError(
                    f"{path} ends {plural(left, 'byte')} before the weight {tensor.name!r} does. Export it "
                    "again."
                )
            out.write(chunk)
            left -= len(chunk)
    return offset, length


def align(out: BinaryIO, length: int) -> None:
    """Fill up a file of weights to where a tensor of `length` bytes may begin."""
    step = _ALIGNMENT if length >= _MAPPABLE_BYTES else 64
    out.write(b"\0" * (-out.tell() % step))


def refer(tensor: TensorProto, location: str, offset: int, length: int) -> None:
    """Let a tensor refer to bytes of the file `location` beside its graph, in the place of its own."""
    for field in (
        "raw_data",
        "float_data",
        "int32_data",
        "int64_data",
        "double_data",
        "uint64_data",
    ):
        tensor.ClearField(field)
    del tensor.external_data[:]
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
