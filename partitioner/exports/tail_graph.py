"""A tail as a model of its own: its graph with a file of just the weights that it reads."""

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto
from onnx.external_data_helper import ExternalDataInfo

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import WEIGHTS_FILE, Cut
from partitioner.importer.subgraphs import value_info
from partitioner.importer.weights import align, refer
from partitioner.runtime.external_data import tensors_in
from protos.errors import ModelError
from protos.tensors import TensorSpec

GRAPH = "model.onnx"
WEIGHTS = "weights.bin"
_CHUNK_BYTES = 1 << 22


def outputs_of(bundle: Bundle, cut: Cut) -> tuple[TensorSpec, ...]:
    """Return the outputs of the whole model that a tail makes."""
    return tuple(spec for spec in bundle.outputs if spec.name in cut.tail_outputs)


def read_tail(bundle: Bundle, cut: Cut) -> onnx.ModelProto:
    """Return the graph of a tail, whose weights lie in the bundle's own file.

    It takes the whole frontier, also what no node reads. Raises ModelError where something crosses that is an
    output as it is: a graph has no node for that.
    """
    model = onnx.ModelProto.FromString(bytes(bundle.contents.read(cut.tail_graph or "")))
    given = {value.name for value in model.graph.input}
    model.graph.input.extend(value_info(spec) for spec in cut.frontier if spec.name not in given)
    made = {value.name for value in model.graph.output}
    if passed := [name for name in cut.tail_outputs if name not in made]:
        raise ModelError(
            f"the tail of {cut.id} makes no {', '.join(passed)}, which is given to it as it is, and a model "
            "of another server has to make all of its outputs. Use another cut."
        )
    return model


def write_model(bundle: Bundle, model: onnx.ModelProto, folder: Path) -> None:
    """Write a graph into a folder, beside it the weights that it reads, in their order in the bundle.

    Each folder is whole by itself: servers copy folders, and follow no links. The graph refers to the new
    file afterwards.
    """
    external = [tensor for tensor in tensors_in(model) if _is_external(tensor)]
    external.sort(key=lambda tensor: int(ExternalDataInfo(tensor).offset or 0))
    if external:
        _copy_weights(bundle, external, folder / WEIGHTS)
    (folder / GRAPH).write_bytes(model.SerializeToString())


def _copy_weights(bundle: Bundle, tensors: Sequence[TensorProto], target: Path) -> None:
    written: dict[tuple[int, int], int] = {}
    with target.open("wb") as out:
        for tensor in tensors:
            info = ExternalDataInfo(tensor)
            start, length = int(info.offset or 0), int(info.length or 0)
            if (start, length) not in written:
                align(out, length)
                written[start, length] = out.tell()
                for at in range(start, start + length, _CHUNK_BYTES):
                    size_bytes = min(_CHUNK_BYTES, start + length - at)
                    out.write(bundle.contents.read_part(WEIGHTS_FILE, at, size_bytes))
            refer(tensor, target.name, written[start, length], length)


def _is_external(tensor: TensorProto) -> bool:
    return bool(tensor.data_location == TensorProto.EXTERNAL)
