"""Features of a frontier for an exit: the values that it can use, made small enough to train on."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from partitioner.bundle.manifest import Cut
from protos.codecs.half import holds_floats
from protos.tensors import Array, TensorSpec

MAX_SIDE = 20
"""Maps of more rows or columns than this are averaged down to it."""


@dataclass(frozen=True)
class Feature:
    """One value of a frontier as an exit takes it.

    `map`: [1, channels, rows, columns], averaged over squares of `pool`. `sequence`: [1, length, width],
    of which mean, largest and first count. `vector`: [1, width].
    """

    spec: TensorSpec
    kind: Literal["map", "sequence", "vector"]
    pool: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what `reduce` returns."""
        sizes = self.spec.shape[1:]
        if self.kind == "map":
            return (sizes[0], sizes[1] // self.pool, sizes[2] // self.pool)
        return (3 * sizes[1],) if self.kind == "sequence" else sizes

    @property
    def nbytes(self) -> int:
        """Bytes of what `reduce` returns."""
        return 4 * math.prod(self.shape)

    def reduce(self, values: Mapping[str, Array]) -> Array:
        """Return the feature of one sample; the exit's graph does the same."""
        value = np.asarray(values[self.spec.name][0], np.float32)
        if self.kind == "sequence":
            return np.concatenate([value.mean(axis=0), value.max(axis=0), value[0]])
        if self.kind == "vector" or self.pool == 1:
            return value
        channels, rows, columns = self.shape
        square = value[:, : rows * self.pool, : columns * self.pool]
        blocks = square.reshape(channels, rows, self.pool, columns, self.pool)
        return np.asarray(blocks.mean(axis=(2, 4)))


def features_of(cut: Cut) -> tuple[Feature, ...]:
    """Return what an exit may use at a cut; nothing where no value is a float32 map, sequence or vector."""
    found = []
    for spec in cut.frontier:
        if not holds_floats(spec) or spec.shape[0] not in (-1, 1):
            continue
        if len(spec.shape) == 4:
            pool = max(1, math.ceil(max(spec.shape[2:]) / MAX_SIDE))
            found.append(Feature(spec, "map", min(pool, *spec.shape[2:])))
        elif len(spec.shape) == 3:
            found.append(Feature(spec, "sequence"))
        elif len(spec.shape) == 2:
            found.append(Feature(spec, "vector"))
    return tuple(found)
