"""External data: the files in which an ONNX graph says that its tensors lie.

The runtime opens them by itself. Whoever makes a graph could so have a server read any file of its own and
answer with it, unless the runtime refuses, which not every version does. Therefore it is read here first,
by a part of ONNX's schema (github.com/onnx/onnx, onnx.proto) that tells of nothing else; whatever holds
tensors is followed: branches, bodies, functions, attributes and sparse tensors.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from protos.tensors import Buffer

_SCHEMA: dict[str, dict[str, tuple[int, str]]] = {
    "Model": {
        "graph": (7, "Graph"),
        "training_info": (20, "Training"),
        "functions": (25, "Function"),
    },
    "Training": {"initialization": (1, "Graph"), "algorithm": (2, "Graph")},
    "Function": {"node": (7, "Node"), "attribute_proto": (11, "Attribute")},
    "Graph": {
        "node": (1, "Node"),
        "initializer": (5, "Tensor"),
        "sparse_initializer": (15, "Sparse"),
    },
    "Node": {"attribute": (5, "Attribute")},
    "Attribute": {
        "t": (5, "Tensor"),
        "g": (6, "Graph"),
        "tensors": (10, "Tensor"),
        "graphs": (11, "Graph"),
        "sparse_tensor": (22, "Sparse"),
        "sparse_tensors": (23, "Sparse"),
    },
    "Sparse": {"values": (1, "Tensor"), "indices": (2, "Tensor")},
    "Tensor": {"external_data": (13, "Entry")},
    "Entry": {},
}
"""Messages, and the fields that lead to tensors, with number and type, called as ONNX calls them. All are
read as repeated: that makes no difference on the wire, and one that comes twice is then seen twice."""


def external_files(graph: Buffer) -> frozenset[str]:
    """Return the names of all files in which tensors of an ONNX model are said to lie.

    Raises ValueError for bytes that are no such model.
    """
    try:
        model = _model_class().FromString(bytes(graph))
    except DecodeError as error:
        raise ValueError("it is no ONNX model") from error
    return frozenset(
        entry.value.decode(errors="replace")
        for tensor in tensors_in(model)
        for entry in tensor.external_data
        if entry.key == b"location"
    )


def tensors_in(model: Any) -> Iterator[Any]:
    """Yield every tensor of a model, at any depth: of ours, or of the package onnx; some may be empty."""
    waiting = [(model, "Model")]
    while waiting:
        message, kind = waiting.pop()
        if kind == "Tensor":
            yield message
            continue
        for name, (_, inner) in _SCHEMA[kind].items():
            found = getattr(message, name)
            if not isinstance(found, Message):
                waiting.extend((one, inner) for one in found)
            elif message.HasField(name):
                waiting.append((found, inner))


def file_inside(folder: Path, location: str) -> Path:
    """Return the file `location` below a folder; ValueError for one that lies elsewhere, or leads there."""
    plain = PurePosixPath(location.replace("\\", "/"))
    if not plain.parts or "\0" in location or ".." in plain.parts or plain.is_absolute():
        raise ValueError("which does not lie beside it")
    path = folder / location
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError("which is a link out of its folder")
    return path


@cache
def _model_class() -> Any:
    """Return the message class of a model, in a pool of its own: the package onnx has another."""
    file = descriptor_pb2.FileDescriptorProto(name="external_data.proto", package="external_data")
    kinds = descriptor_pb2.FieldDescriptorProto
    for kind, fields in _SCHEMA.items():
        message = file.message_type.add(name=kind)
        for name, (number, inner) in fields.items():
            message.field.add(
                name=name,
                number=number,
                label=kinds.LABEL_REPEATED,
                type=kinds.TYPE_MESSAGE,
                type_name=f".external_data.{inner}",
            )
        if kind == "Entry":
            for name, number in (("key", 1), ("value", 2)):
                message.field.add(
                    name=name, number=number, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_BYTES
                )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("external_data.Model"))
