"""The graph of a bundle on the disk: what searching for cuts needs, without the onnx package."""

import json
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from partitioner.bundle.manifest import GRAPH_FILE
from partitioner.common.files import read_document
from partitioner.graph.graph import Graph, Node
from protos.errors import BundleError
from protos.tensors import TensorSpec

GRAPH_SCHEMA_VERSION: Final = 1


class _Document(BaseModel):
    """Nodes as [name, op, inputs, outputs, flops], values as {name: [dtype, shape]}."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = GRAPH_SCHEMA_VERSION
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...], int], ...]
    values: dict[str, tuple[str, tuple[int, ...]]]


def save_graph(folder: Path, graph: Graph) -> None:
    """Write the graph into the folder of a bundle in the making; values that are constant stay out."""
    flowing = [*graph.inputs, *graph.producer]
    document = _Document(
        inputs=graph.inputs,
        outputs=graph.outputs,
        nodes=tuple((n.name, n.op, n.inputs, n.outputs, n.flops) for n in graph.nodes),
        values={
            name: (graph.values[name].dtype, graph.values[name].shape)
            for name in flowing
            if name in graph.values
        },
    )
    text = json.dumps(document.model_dump(mode="json"), separators=(",", ":"))
    (folder / GRAPH_FILE).write_text(text + "\n")


def load_graph(path: Path) -> Graph:
    """Read a graph; BundleError when it is damaged or no graph."""
    try:
        document = _Document.model_validate_json(read_document(path))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} is no graph: {error}. Import the bundle again.") from error
    return Graph(
        nodes=tuple(Node(*fields) for fields in document.nodes),
        inputs=document.inputs,
        outputs=document.outputs,
        values={name: TensorSpec(name, *spec) for name, spec in document.values.items()},
    )
