"""The graph of a bundle on the disk: what searching for cuts needs, without the onnx package."""

import json
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from partitioner.bundle.manifest import GRAPH_FILE
from partitioner.common.units import plural
from partitioner.graph.graph import Graph, Node
from protos.errors import BundleError
from protos.tensors import TensorSpec

GRAPH_SCHEMA_VERSION: Final = 1


class _Document(BaseModel):
    """Nodes as [name, op, inputs, outputs, flops], values as {name: [dtype, shape]}, with the
    usual sizes as a third where data size the value.

    `layers` has the layer of every node, in the order of the nodes, where any is known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = GRAPH_SCHEMA_VERSION
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...], int], ...]
    values: dict[str, tuple[str, tuple[int, ...]] | tuple[str, tuple[int, ...], tuple[int, ...]]]
    layers: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _names_every_node(self) -> Self:
        if self.layers and len(self.layers) != len(self.nodes):
            raise ValueError(
                f"{plural(len(self.layers), 'layer')} for {plural(len(self.nodes), 'node')}"
            )
        return self


def save_graph(folder: Path, graph: Graph) -> None:
    """Write the graph into the folder of a bundle in the making; values that are constant stay out."""
    flowing = [*graph.inputs, *graph.producer]
    layers = tuple(node.layer for node in graph.nodes)
    document = _Document(
        inputs=graph.inputs,
        outputs=graph.outputs,
        nodes=tuple((n.name, n.op, n.inputs, n.outputs, n.flops) for n in graph.nodes),
        values={name: _written(graph.values[name]) for name in flowing if name in graph.values},
        layers=layers if any(layers) else (),
    )
    content = document.model_dump(mode="json", exclude=None if document.layers else {"layers"})
    text = json.dumps(content, separators=(",", ":"))
    (folder / GRAPH_FILE).write_text(text + "\n")


def _written(
    spec: TensorSpec,
) -> tuple[str, tuple[int, ...]] | tuple[str, tuple[int, ...], tuple[int, ...]]:
    return (spec.dtype, spec.shape, spec.usual) if spec.usual else (spec.dtype, spec.shape)


def parse_graph(document: bytes, path: Path) -> Graph:
    """Read the graph that a bundle has at `path`; BundleError when it is damaged or no graph."""
    try:
        found = _Document.model_validate_json(document)
    except ValueError as error:
        raise BundleError(f"{path} is no graph: {error}. Import the bundle again.") from error
    layers = found.layers or ("",) * len(found.nodes)
    return Graph(
        nodes=tuple(
            Node(*fields, layer) for fields, layer in zip(found.nodes, layers, strict=True)
        ),
        inputs=found.inputs,
        outputs=found.outputs,
        values={name: TensorSpec(name, *spec) for name, spec in found.values.items()},
    )
