"""Reading an ONNX file without reading its weights, and saying clearly what is wrong with it."""

import os
from pathlib import Path
from typing import BinaryIO

import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto, external_data_helper

from partitioner.common.units import plural
from partitioner.importer.weights import graphs_in
from partitioner.runtime.external_data import file_inside, tensors_in
from partitioner.runtime.failures import Cause, Failure
from partitioner.runtime.sessions import RuntimeOptions, open_session
from protos.errors import FileError, ModelError, reason

_ADVICE = {
    Cause.MEMORY: "Free memory, or import the model on a machine that has more.",
    Cause.TOO_NEW: "Export the model again, for an opset that this runtime knows, or update onnxruntime.",
    Cause.KERNEL: "Export the model in other data types, such as float32.",
    Cause.WEIGHTS: "Copy the file and its weights again, or export the model again.",
    Cause.DAMAGED: "Copy the file again, or export the model again.",
}
_ELSE = "The file is at odds with itself: export the model again, with another exporter or opset."

_VARINT, _LENGTH = 0, 2
"""Wire types of protobuf: a number of 1 to 10 bytes, and bytes behind their number. A model has no others."""
_MOST_DIGITS = 10
_IR_VERSION = ModelProto.DESCRIPTOR.fields_by_name["ir_version"].number


def load_model(path: Path) -> onnx.ModelProto:
    """Return the model without its external data, after the runtime has accepted it.

    Raises FileError when the file is missing, ModelError when it is no ONNX file, misses weights, or has an
    operator that the runtime does not know.
    """
    if not path.is_file():
        raise FileError(
            f"there is no file {path}. Give an ONNX file, or a factory such as models.py:build."
        )
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise _cut_short(path) or _not_onnx(path) from error
    if not model.graph.node or not model.opset_import:
        raise _not_onnx(path)
    _check_external_files(model, path)
    _check_runtime(path)
    return model


def strip_remarks(model: onnx.ModelProto) -> None:
    """Remove what exporters remark, in place: stack traces and paths that are no part of the model."""
    for item in (*model.graph.node, *model.graph.initializer, *model.functions):
        item.ClearField("doc_string")
        item.ClearField("metadata_props")


def _not_onnx(path: Path) -> ModelError:
    return ModelError(
        f"{path} is not an ONNX file. Export one (torch.onnx.export, tf2onnx), or give a torch factory "
        "such as models.py:build."
    )


def _cut_short(path: Path) -> ModelError | None:
    """Return the error of a file that begins as a model and ends within a part of it; None: it is none."""
    if not (lacking := _missing_bytes(path)):
        return None
    return ModelError(
        f"{path} is cut short: it begins as an ONNX file, and ends {plural(lacking, 'byte')} before its last "
        "part does. Copy it again, or export the model again."
    )


def _missing_bytes(path: Path) -> int:
    """Return how many bytes the last part of a model lacks; 0 where the file is whole or no model.

    A model begins with the version of its format. Parts are skipped, not read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(1) != bytes([_IR_VERSION << 3 | _VARINT]):
            return 0
        file.seek(0)
        while file.tell() < size:
            if (length := _part_bytes(file)) is None:
                return 1 if file.tell() == size else 0
            file.seek(length, os.SEEK_CUR)
        return file.tell() - size


def _part_bytes(file: BinaryIO) -> int | None:
    """Return the bytes of the part that begins here, behind its tag; None where none begins."""
    tag = _varint(file)
    if tag is None or tag >> 3 not in ModelProto.DESCRIPTOR.fields_by_number:
        return None
    value = _varint(file)
    if value is None or tag & 7 not in (_VARINT, _LENGTH):
        return None
    return value if tag & 7 == _LENGTH else 0


def _varint(file: BinaryIO) -> int | None:
    """Return the number that begins here, seven bits a byte, the lowest first; None where it does not end."""
    value = 0
    for digit in range(_MOST_DIGITS):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << (7 * digit)
        if byte[0] < 0x80:
            return value
    return None


def _check_external_files(model: onnx.ModelProto, path: Path) -> None:
    """Raise ModelError where a tensor lies in a file that is not beside the model, or that is too short.

    Before the runtime, or onnx, opens any: a file of somebody else's may name any file of this machine.
    """
    for tensor in filter(_is_external, tensors_in(model)):
        _check_external_file(tensor, path)
    for sparse in (one for part in graphs_in(model.graph) for one in part.sparse_initializer):
        if _is_external(sparse.values) or _is_external(sparse.indices):
            raise ModelError(
                f"{path} keeps {sparse.values.name!r}, which is sparse, in another file. Export the model "
                "again, with sparse tensors within it."
            )


def _is_external(tensor: onnx.TensorProto) -> bool:
    return tensor.data_location == TensorProto.EXTERNAL or len(tensor.external_data) > 0


def _check_external_file(tensor: onnx.TensorProto, path: Path) -> None:
    try:
        data = external_data_helper.ExternalDataInfo(tensor)
    except ValueError as error:
        raise ModelError(
            f"{path} says of {tensor.name!r} where it lies, but not in numbers: {reason(error)}. {_ELSE}"
        ) from error
    try:
        weights = file_inside(path.parent, data.location or "")
        if not weights.is_file():
            raise ValueError("which does not lie beside it")
    except ValueError as error:
        raise ModelError(
            f"{path} keeps its weights in {data.location!r}, {error}. Copy that file into the same folder; "
            "if the model is not your own, ask first why it names it."
        ) from error
    needed = (data.offset or 0) + (data.length or 0)
    if (found := weights.stat().st_size) < needed:
        raise ModelError(
            f"{weights} is cut short: it has {plural(found, 'byte')}, and {path} wants {needed:,} or more. "
            "Copy it again."
        )


def _check_runtime(path: Path) -> None:
    try:
        open_session(path, RuntimeOptions())
    except Exception as error:  # the runtime raises a dozen types of its own
        found = Failure.of(error)
        if found.cause is Cause.OPERATOR:
            raise ModelError(
                f"{path} has the operator {found.operator}, which this ONNX Runtime does not know. "
                "Update onnxruntime, or export the model with standard operators."
            ) from error
        raise ModelError(
            f"ONNX Runtime cannot load {path}: {found.said}. {_ADVICE.get(found.cause, _ELSE)}"
        ) from error
