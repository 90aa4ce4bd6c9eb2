"""What rounding explains, by hand."""

import math

import pytest

from partitioner.graph.graph import Graph, Node
from partitioner.graph.roundings import LEAST_TOLERANCE, rounding_tolerance, unit_roundoff
from protos.tensors import TensorSpec


def chain(*dtypes: str) -> Graph:
    """x, then a value of each type, one after the other."""
    names = [f"v{at}" for at in range(len(dtypes))]
    nodes = tuple(
        Node(name, "Conv", (names[at - 1] if at else "x",), (name,), 1)
        for at, name in enumerate(names)
    )
    specs = [TensorSpec(name, dtype, (-1, 4)) for name, dtype in zip(names, dtypes, strict=True)]
    values = {spec.name: spec for spec in (TensorSpec("x", dtypes[0], (-1, 4)), *specs)}
    return Graph(nodes, ("x",), (names[-1],), values)


def test_unit_roundoff_is_half_a_step() -> None:
    assert unit_roundoff("float16") == 2.0**-11
    assert unit_roundoff("float32") == 2.0**-24
    assert unit_roundoff("int8") == unit_roundoff("bool") == 0


@pytest.mark.parametrize(("crossing", "roundings"), [("v3", 1), ("v2", 2), ("v0", 4), ("x", 5)])
def test_tolerance_follows_the_type_and_the_roundings_behind_the_cut(
    crossing: str, roundings: int
) -> None:
    graph = chain("float16", "float16", "float16", "float16")
    found = rounding_tolerance(graph, [graph.values[crossing]])
    assert found == pytest.approx(2.0**-11 * (2 + 1.22 * math.sqrt(roundings)))


def test_tolerance_is_that_of_float32_where_nothing_coarser_is_left() -> None:
    graph = chain("float16", "float32", "float32")
    assert rounding_tolerance(graph, [graph.values["v1"]]) == LEAST_TOLERANCE
    assert rounding_tolerance(graph, [graph.values["v0"]]) > 10 * LEAST_TOLERANCE
    assert rounding_tolerance(chain("int8", "int8"), []) == LEAST_TOLERANCE
