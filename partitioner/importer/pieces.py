"""Heads, tails and segments as files of a bundle, each of which the runtime has opened once."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import onnx

from partitioner.bundle.manifest import MODEL_GRAPH, Cut, Segment, segment_outputs
from partitioner.graph.chains import next_heads
from partitioner.graph.cuts import FoundCut
from partitioner.graph.graph import Graph
from partitioner.importer.onnx_graph import constant_nodes
from partitioner.importer.subgraphs import Extractor, specs_of
from partitioner.runtime.failures import Cause, Failure
from partitioner.runtime.sessions import RuntimeOptions, Stage, open_session
from protos.errors import ModelError
from protos.tensors import Array, TensorSpec

_WAYS = ((False, True), (True, True), (True, False))
"""To make a piece and to open it, until one works: with sizes said or not, optimised or not."""

_RUN_FLOPS = 200e9
"""Heads and tails are run too where all together take no more operations: some ten seconds."""

Feeds = Mapping[str, Array]


class PieceError(Exception):
    """A piece that the runtime does not open or run in any way; the text says which, and what it says."""


class PieceWriter:
    """Writes pieces of one model into the folder of a bundle in the making, and opens each once.

    `places` are the indices in the model of the graph's nodes. `feeds` is one input that the model takes.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        graph: Graph,
        places: Sequence[int],
        folder: Path,
        feeds: Feeds,
    ) -> None:
        self.unoptimized: list[str] = []
        """The graphs that the runtime loads only if it leaves them as they are."""
        self._extractor = Extractor(model, constant_nodes(model.graph))
        self._graph = graph
        self._places = places
        self._folder = folder
        self._feeds = feeds
        self._runs = 0
        self._inputs = specs_of(graph.inputs, graph.values)
        self._outputs = specs_of(graph.outputs, graph.values)

    def write_model(self) -> None:
        """Write the whole model; ModelError when the runtime does not take it."""
        try:
            self._write(MODEL_GRAPH, self._places, self._inputs, self._outputs, self._feeds)
        except PieceError as error:
            raise ModelError(
                f"the model does not work as a whole: {error}. Export it again, with another opset."
            ) from error

    def write_cut(self, cut_id: str, cut: FoundCut) -> Cut:
        """Write the head and the tail of one cut, and return what the manifest says of it.

        Raises PieceError, and leaves no file, where the runtime takes one of them in no way.
        """
        graph = self._graph
        frontier = specs_of(cut.frontier, graph.values)
        own = graph.outputs_of(cut.head)
        made = tuple(spec for spec in self._outputs if spec.name in own)
        rest = tuple(spec for spec in self._outputs if spec.name not in own)
        tail = set(range(len(graph.nodes))) - cut.head
        crossing = tuple(spec for spec in frontier if spec not in made)
        paths = [f"graphs/{cut_id}.{side}.onnx" for side in ("head", "tail")]
        self._runs += 1
        feeds = self._feeds if self._runs * graph.flops <= _RUN_FLOPS else None
        try:
            values = self._write(paths[0], self._at(cut.head), self._inputs, crossing + made, feeds)
            self._write(paths[1], self._at(tail), frontier, rest, values)
        except PieceError:
            for path in paths:
                (self._folder / path).unlink(missing_ok=True)
                self.unoptimized = [name for name in self.unoptimized if name != path]
            raise
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

    def write_segments(self, cuts: Sequence[Cut]) -> tuple[Segment, ...]:
        """Write the segments between the cuts of a bundle, its ends included, by which tails share.

        One that the runtime takes in no way is left out: the tails that need it are not shared.
        """
        heads = [self._head_of(cut) for cut in cuts]
        known: Feeds = self._feeds
        made: list[Segment] = []
        for cut, head, at in zip(cuts, heads, next_heads(heads), strict=True):
            if at is None:
                continue
            name = f"graphs/{cut.id}.segment.onnx"
            feeds = known if all(spec.name in known for spec in cut.frontier) else None
            nodes = self._at(heads[at] - head)
            ends = cut.frontier, segment_outputs(cut, cuts[at], self._outputs)
            try:
                known = self._write(name, nodes, *ends, feeds) or known
            except PieceError:
                (self._folder / name).unlink(missing_ok=True)
                continue
            made.append(Segment(cut=cut.id, until=cuts[at].id, graph=name))
        return tuple(made)

    def _head_of(self, cut: Cut) -> frozenset[int]:
        if cut.tail_graph is None:
            return frozenset(range(len(self._graph.nodes)))
        names = [*(spec.name for spec in cut.frontier), *cut.head_outputs]
        return self._graph.head_before(names)

    def _write(
        self,
        name: str,
        nodes: Iterable[int],
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        feeds: Feeds | None,
    ) -> Feeds | None:
        """Write a piece in the first way in which it opens, and runs if there are `feeds`; return what it
        makes of them."""
        make = partial(self._extractor.extract, list(nodes), inputs, outputs, Path(name).stem)
        path = self._folder / name
        first: Exception | None = None
        for loose, optimize in _WAYS:
            path.write_bytes(make(loose=loose).SerializeToString())
            try:
                session = open_session(path, RuntimeOptions(), optimize=optimize)
                values = None if feeds is None else Stage(session, inputs, outputs).run(feeds)
            except Exception as error:  # noqa: BLE001 - the runtime raises a dozen types of its own
                first = first or error
                continue
            if not optimize:
                self.unoptimized.append(name)
            return None if values is None or feeds is None else {**feeds, **values}
        failure = Failure.of(first or RuntimeError())
        if failure.cause is Cause.MEMORY:
            raise ModelError(
                f"there is too little memory to open {name}: {failure.said}. Free memory."
            )
        raise PieceError(f"{name}: {failure.said}") from first

    def _at(self, nodes: Iterable[int]) -> list[int]:
        return [self._places[node] for node in nodes]
