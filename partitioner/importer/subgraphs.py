"""Taking a part of an ONNX model out: the same nodes and weights, other inputs and outputs."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx
from onnx import helper

from partitioner.importer.onnx_graph import reads_of
from protos.tensors import BATCH_SIZE, DATA_SIZE, TensorSpec

BATCH = "batch"


def value_info(spec: TensorSpec, *, loose: bool = False) -> onnx.ValueInfoProto:
    """Return the declaration of an input or output; a free batch axis is called `batch`, and if `loose`
    no size is said."""
    shape: list[int | str] = []
    for at, size in enumerate(spec.shape):
        free = f"{spec.name}.{at}"  # a name, since the runtime plans ten times as long without one
        shape.append(free if loose or size == DATA_SIZE else BATCH if size == BATCH_SIZE else size)
    return helper.make_tensor_value_info(
        spec.name, helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)), shape
    )


class Extractor:
    """Cuts pieces out of one model. Weights are referred to, never copied."""

    def __init__(self, model: onnx.ModelProto, constants: Iterable[int]) -> None:
        self._model = model
        self._constant = {
            name: index for index in constants for name in model.graph.node[index].output if name
        }
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}

    def extract(
        self,
        nodes: Iterable[int],
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        name: str,
        *,
        loose: bool = False,
    ) -> onnx.ModelProto:
        """Return a model of `nodes` (indices, closed between `inputs` and `outputs`) in their order.

        Inputs that no node reads are left out; outputs that are inputs too, as well: they pass through.
        If it is `loose`, inputs and outputs have as many axes as they have, of any size.
        """
        given = {spec.name for spec in inputs}
        computed = [spec for spec in outputs if spec.name not in given]
        constant = {self._constant[spec.name] for spec in computed if spec.name in self._constant}
        chosen = self._with_constants({*nodes, *constant})
        read = {value for index in chosen for value in reads_of(self._model.graph.node[index])}
        read |= {spec.name for spec in computed}
        graph = helper.make_graph(
            [self._model.graph.node[index] for index in sorted(chosen)],
            name,
            [value_info(spec, loose=loose) for spec in inputs if spec.name in read],
            [value_info(spec, loose=loose) for spec in computed],
            [tensor for key, tensor in self._weights.items() if key in read],
        )
        piece = helper.make_model(graph, opset_imports=self._model.opset_import)
        piece.ir_version = self._model.ir_version
        piece.functions.extend(self._model.functions)
        piece.producer_name = "splitpoint"
        return piece

    def _with_constants(self, nodes: set[int]) -> set[int]:
        """Add the constant nodes that `nodes` read, directly or through each other."""
        waiting = list(nodes)
        while waiting:
            for value in reads_of(self._model.graph.node[waiting.pop()]):
                maker = self._constant.get(value)
                if maker is not None and maker not in nodes:
                    nodes.add(maker)
                    waiting.append(maker)
        return nodes


def specs_of(names: Iterable[str], values: Mapping[str, TensorSpec]) -> tuple[TensorSpec, ...]:
    """Return the specs of `names`, in their order."""
    return tuple(values[name] for name in names)
