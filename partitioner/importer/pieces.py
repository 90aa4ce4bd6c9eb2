"""The head and the tail of each cut, as files of a bundle."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import onnx

from partitioner.bundle.manifest import MODEL_GRAPH, Cut
from partitioner.graph.cuts import FoundCut
from partitioner.graph.graph import Graph
from partitioner.importer.onnx_graph import constant_nodes
from partitioner.importer.subgraphs import Extractor, specs_of


class PieceWriter:
    """Writes pieces of one model into the folder of a bundle in the making.

    `places` are the indices in the model of the graph's nodes.
    """

    def __init__(
        self, model: onnx.ModelProto, graph: Graph, places: Sequence[int], folder: Path
    ) -> None:
        self._extractor = Extractor(model, constant_nodes(model.graph))
        self._graph = graph
        self._places = places
        self._folder = folder
        self._inputs = specs_of(graph.inputs, graph.values)
        self._outputs = specs_of(graph.outputs, graph.values)

    def write_model(self) -> None:
        """Write the whole model."""
        whole = self._extractor.extract(self._places, self._inputs, self._outputs, "model")
        (self._folder / MODEL_GRAPH).write_bytes(whole.SerializeToString())

    def write_cut(self, cut_id: str, cut: FoundCut) -> Cut:
        """Write the head and the tail of one cut, and return what the manifest says of it."""
        graph = self._graph
        frontier = specs_of(cut.frontier, graph.values)
        own = graph.outputs_of(cut.head)
        made = tuple(spec for spec in self._outputs if spec.name in own)
        rest = tuple(spec for spec in self._outputs if spec.name not in own)
        tail = set(range(len(graph.nodes))) - cut.head
        crossing = tuple(spec for spec in frontier if spec not in made)
        extract = self._extractor.extract
        head_piece = extract(self._at(cut.head), self._inputs, crossing + made, cut_id)
        tail_piece = extract(self._at(tail), frontier, rest, cut_id)
        paths = []
        for side, piece in (("head", head_piece), ("tail", tail_piece)):
            paths.append(f"graphs/{cut_id}.{side}.onnx")
            (self._folder / paths[-1]).write_bytes(piece.SerializeToString())
        return Cut(
            id=cut_id,
            after=graph.place(cut.frontier),
            frontier=frontier,
            head_graph=paths[0],
            tail_graph=paths[1],
            head_outputs=tuple(spec.name for spec in made),
            tail_outputs=tuple(spec.name for spec in rest),
            head_flops=cut.flops,
        )

    def _at(self, nodes: Iterable[int]) -> list[int]:
        return [self._places[node] for node in nodes]
