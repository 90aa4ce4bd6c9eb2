"""Whether what a tail makes of a row depends on the other rows: tried before requests share a run.

The importer has proven of the whole model that two inputs at once give what they give one by one. That does
not hold for each tail: a frontier may hold something of the batch itself, such as its size, or a number for
each of its rows. And two inputs that are alike show no dependence at all. So a tail is tried by itself.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from partitioner.runtime.sessions import Stage, random_feeds
from protos.errors import SplitpointError
from protos.tensors import BATCH_SIZE, Array, TensorSpec

_LOUD = 1e3
"""How many times as large the row between two others is: what depends on all rows then follows this one."""
_TOLERANCE, _STEPS = 1e-4, 8
"""Rows must be what they are alone to this, relative to the largest number, or to so many steps."""

Rows = Mapping[str, Array]


def dependence(stage: Stage) -> str:
    """Return why requests for a tail cannot be computed together; empty where they can.

    Three rows are computed one by one and together, the middle one a thousand times as large.
    """
    for spec in (*stage.inputs, *stage.outputs):
        if spec.shape.count(BATCH_SIZE) != 1 or spec.is_data_sized:
            return f"{spec.name} is {spec}, which has no batch axis of its own"
    try:
        rows = [_row(stage, at) for at in range(3)]
        alone = [stage.run(row) for row in rows]
        together = stage.run({spec.name: _joined(spec, rows) for spec in stage.inputs})
    except SplitpointError as error:
        return f"it cannot be tried on random rows: {error}"
    for spec in stage.outputs:
        arrays = [each[spec.name] for each in alone]
        if not _tells(arrays):
            return f"{spec.name} is no number for random rows"
        if not _same(spec, arrays, together[spec.name]):
            return f"rows of {spec.name} depend on one another"
    return ""


def batch_axis(spec: TensorSpec) -> int:
    """Return which axis of a tensor counts rows."""
    return spec.shape.index(BATCH_SIZE)


def _row(stage: Stage, at: int) -> Rows:
    feeds = random_feeds(stage.inputs, np.random.default_rng(at))
    if at != 1:
        return feeds
    return {
        name: _loud(array) if array.dtype.kind == "f" else array for name, array in feeds.items()
    }


def _loud(array: Array) -> Array:
    large: npt.NDArray[np.float64] = array.astype(np.float64)
    large *= _LOUD
    return large.astype(array.dtype)


def _joined(spec: TensorSpec, rows: list[Rows]) -> Array:
    return np.concatenate([row[spec.name] for row in rows], batch_axis(spec))


def _same(spec: TensorSpec, alone: list[Array], together: Array) -> bool:
    axis = batch_axis(spec)
    if any(each.shape[axis] != 1 for each in alone) or together.shape[axis] != len(alone):
        return False
    parts = np.split(together, len(alone), axis)
    return all(map(_close, alone, parts))


def _tells(alone: list[Array]) -> bool:
    """Tell whether there are numbers to compare in the rows beside the loud one."""
    return all(array.dtype.kind != "f" or bool(np.isfinite(array).any()) for array in alone[::2])


def _close(one: Array, two: Array) -> bool:
    if one.shape != two.shape:
        return False
    if one.dtype.kind != "f":
        return bool(np.array_equal(one, two))
    told = np.isfinite(one)
    if not np.array_equal(one[~told], two[~told], equal_nan=True):
        return False
    scale = max(float(np.max(np.abs(one[told]), initial=0.0)), 1e-6)
    gap = np.abs(one[told].astype(np.float64) - two[told].astype(np.float64))
    tolerance = max(_TOLERANCE, _STEPS * float(np.finfo(one.dtype.name).eps))
    return float(np.max(gap, initial=0.0)) <= tolerance * scale
