"""How far two ways of computing the same graph come apart by rounding alone.

A runtime keeps more digits inside what it fuses than a value has that crosses a cut, so the whole model
and its parts round at different places. Of a type with unit roundoff u (half a step: 2^-11 of float16),
relative to an output's largest value:

- both outputs are rounded at the end, which parts them by a step at most: 2 u;
- before that, d roundings follow each other, of which each run makes its own. One is off by u/√3 of its
  value in the mean (uniform), and values have a third of the largest in the mean (normal, three deviations
  wide). 2 d of them add as the roots of their squares, if layers keep the scale of what they are given
  (N. Higham and T. Mary, SIAM J. Sci. Comput. 41(5), 2019), and the worst of an output's values lies 4.5
  deviations out: 4.5 · √(2 d) · u / (3 √3) = 1.22 u √d.

Products of float32 are summed in other orders as well, for which 1e-4 has been enough; so no tolerance
is below that.
"""

import math
from collections.abc import Iterable, Mapping

import numpy as np

from partitioner.graph.graph import Graph
from protos.tensors import TensorSpec

LEAST_TOLERANCE = 1e-4
"""Of float32, relative to an output's largest value."""

_LAST, _EACH = 2.0, 1.22


def rounding_tolerance(graph: Graph, crossing: Iterable[TensorSpec]) -> float:
    """Return the largest difference that rounding explains where `crossing` are the values that cross.

    It is relative to an output's largest value, and of the coarsest type of floats that crosses or that the
    rest of the model computes in.
    """
    frontier = tuple(crossing)
    rest = set(range(len(graph.nodes))) - graph.head_before(spec.name for spec in frontier)
    made = [value for node in rest for value in graph.nodes[node].outputs]
    specs = [*frontier, *(graph.values[value] for value in made if value in graph.values)]
    unit = max((unit_roundoff(spec.dtype) for spec in specs), default=0.0)
    coarse = {spec.name for spec in specs if unit and unit_roundoff(spec.dtype) == unit}
    depth = max(_depths(graph, coarse).values(), default=0)
    return max(LEAST_TOLERANCE, unit * (_LAST + _EACH * math.sqrt(depth)))


def unit_roundoff(dtype: str) -> float:
    """Return the largest relative error of rounding to `dtype`; 0 for what holds no floats."""
    found = np.dtype(dtype)
    return float(np.finfo(found).eps) / 2 if found.kind == "f" else 0.0


def _depths(graph: Graph, coarse: Iterable[str]) -> Mapping[str, int]:
    """Return for each value the most of `coarse` on a path to it, itself included."""
    rounded = set(coarse)
    depths = {value: int(value in rounded) for value in graph.inputs}
    for node in graph.nodes:
        before = max((depths.get(value, 0) for value in node.inputs), default=0)
        depths |= {value: before + (value in rounded) for value in node.outputs}
    return depths
