"""Stages in a row that compute what one would: tails share the segments that they have in common."""

from collections.abc import Mapping, Sequence

from partitioner.runtime.interruption import Interruption
from partitioner.runtime.sessions import Stage
from protos.tensors import Array, TensorSpec


class Chain(Stage):
    """A tail that is computed segment by segment. Segments may stand in several chains at once."""

    def __init__(
        self,
        segments: Sequence[Stage],
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
    ) -> None:
        super().__init__(None, inputs, outputs)
        self.segments = tuple(segments)

    def run(
        self, feeds: Mapping[str, Array], interruption: Interruption | None = None
    ) -> dict[str, Array]:
        """Compute the outputs from `feeds`; see Stage. Values that no later segment reads are let go."""
        wanted = {spec.name for spec in self.outputs}
        values = dict(feeds)
        for segment in self.segments:
            kept = {name: array for name, array in values.items() if name in wanted}
            values = {**kept, **segment.run(values, interruption)}
        return {spec.name: values[spec.name] for spec in self.outputs}
