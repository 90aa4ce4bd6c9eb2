"""Reading an ONNX file without reading its weights, and saying clearly what is wrong with it."""

import re
from collections.abc import Mapping
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, external_data_helper, helper

from partitioner.importer.weights import graphs_in
from partitioner.runtime.sessions import RuntimeOptions, open_session
from protos.errors import FileError, ModelError


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
        raise _not_onnx(path) from error
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


def check_types(model: onnx.ModelProto, wanted: Mapping[str, str]) -> None:
    """Raise ModelError unless the inputs are of the data types that `wanted` says, where it says any."""
    for value in model.graph.input:
        if (dtype := wanted.get(value.name)) is None:
            continue
        found = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
        if dtype != found:
            raise ModelError(
                f"input {value.name!r} was given as {dtype}, and the model takes {found}. Leave the type "
                "out: an ONNX file says its own."
            )


def pin_inputs(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Give every input one concrete shape, the batch axis included, in place.

    `shapes` wins over what the file says; a free first axis becomes 1. Raises ModelError when an axis
    remains unknown, or when `shapes` names no input or contradicts the file.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    if unknown := set(shapes) - {value.name for value in inputs}:
        raise ModelError(
            f"the model has no input {', '.join(sorted(unknown))}. "
            f"Its inputs are: {', '.join(value.name for value in inputs)}."
        )
    for value in model.graph.input:
        _pin(value, shapes.get(value.name))


def _pin(value: onnx.ValueInfoProto, wanted: tuple[int, ...] | None) -> None:
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type"):
        raise ModelError(f"input {value.name!r} is no tensor; only tensors can cross a network.")
    said = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
    if wanted is None:
        if not tensor.HasField("shape") or any(size is None or size < 1 for size in said[1:]):
            shown = [dim.dim_param or dim.dim_value or "?" for dim in tensor.shape.dim]
            raise ModelError(
                f"input {value.name!r} has the shape {shown}, which leaves sizes open. "
                f"Say them with `input_shapes` {value.name}=1x3x224x224 (with the right numbers)."
            )
        wanted = tuple(size or 1 for size in said)
    elif tensor.HasField("shape") and (
        len(wanted) != len(said)
        or any(s and s != w for s, w in zip(said[1:], wanted[1:], strict=True))
    ):
        raise ModelError(
            f"input {value.name!r} was given as {'x'.join(map(str, wanted))}, but the model wants "
            f"{'x'.join(str(size or 'any') for size in said)}. Give a shape that fits."
        )
    del tensor.shape.dim[:]
    for size in wanted:
        tensor.shape.dim.add(dim_value=size)


def _not_onnx(path: Path) -> ModelError:
    return ModelError(
        f"{path} is not an ONNX file. Export one (torch.onnx.export, tf2onnx), or give a torch factory "
        "such as models.py:build."
    )


def _check_external_files(model: onnx.ModelProto, path: Path) -> None:
    for tensor in (t for part in graphs_in(model.graph) for t in part.initializer):
        if tensor.data_location == TensorProto.EXTERNAL:
            data = external_data_helper.ExternalDataInfo(tensor)
            weights = path.parent / data.location
            if not weights.is_file():
                raise ModelError(
                    f"{path} keeps its weights in {data.location!r}, which does not lie beside it. "
                    "Copy that file into the same folder."
                )
            needed = (data.offset or 0) + (data.length or 0)
            if (found := weights.stat().st_size) < needed:
                raise ModelError(
                    f"{weights} is cut short: it has {found} bytes, and {path} wants {needed} or more. "
                    "Copy it again."
                )


def _check_runtime(path: Path) -> None:
    try:
        open_session(path, RuntimeOptions())
    except Exception as error:  # the runtime raises a dozen types of its own
        text = str(error).strip()
        found = re.search(
            r"No Op registered for (\S+)|Fatal error: (\S+) is not a registered", text
        )
        if found:
            raise ModelError(
                f"{path} has the operator {found[1] or found[2]}, which this ONNX Runtime does not know. "
                "Update onnxruntime, or export the model with standard operators."
            ) from error
        raise ModelError(
            f"ONNX Runtime cannot load {path}: {text.rstrip('.')}. Export the model again, for an opset that "
            "this runtime knows, or update onnxruntime."
        ) from error
