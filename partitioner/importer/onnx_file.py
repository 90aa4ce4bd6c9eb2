"""Reading an ONNX file without reading its weights, and saying clearly what is wrong with it."""

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, external_data_helper

from partitioner.common.units import plural
from partitioner.importer.weights import graphs_in
from partitioner.runtime.failures import Cause, Failure
from partitioner.runtime.sessions import RuntimeOptions, open_session
from protos.errors import FileError, ModelError

_ADVICE = {
    Cause.MEMORY: "Free memory, or import the model on a machine that has more.",
    Cause.TOO_NEW: "Export the model again, for an opset that this runtime knows, or update onnxruntime.",
    Cause.KERNEL: "Export the model in other data types, such as float32.",
    Cause.WEIGHTS: "Copy the file and its weights again, or export the model again.",
    Cause.DAMAGED: "Copy the file again, or export the model again.",
}
_ELSE = "The file is at odds with itself: export the model again, with another exporter or opset."


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
                    f"{weights} is cut short: it has {plural(found, 'byte')}, and {path} wants {needed:,} "
                    "or more. Copy it again."
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
