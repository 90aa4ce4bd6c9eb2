"""Which nodes stay together, and where a model may be cut."""

from dataclasses import replace
from graphlib import TopologicalSorter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partitioner.graph.graph import Graph
from partitioner.graph.groups import group_nodes
from protos.tensors import TensorSpec
from tests.kit.graphs import make_graph


def test_convolution_normalisation_and_activation_are_one_group() -> None:
    edges = {
        "a": ["x"],
        "BatchNormalization_b": ["a"],
        "Relu_c": ["BatchNormalization_b"],
        "d": ["Relu_c"],
    }
    assert group_nodes(make_graph(edges, {})) == ((0, 1, 2), (3,))


def test_decomposed_gate_joins_the_convolution_before_it() -> None:
    # SiLU as exporters write it: y * sigmoid(y).
    edges = {"a": ["x"], "Sigmoid_b": ["a"], "Mul_c": ["a", "Sigmoid_b"], "d": ["Mul_c"]}
    assert group_nodes(make_graph(edges, {})) == ((0, 1, 2), (3,))


def test_value_that_a_skip_reads_too_stays_a_place_to_cut() -> None:
    edges = {"a": ["x"], "Relu_b": ["a"], "c": ["Relu_b"], "Add_d": ["c", "a"], "e": ["Add_d"]}
    groups = group_nodes(make_graph(edges, {}))
    assert (0,) in groups


def test_growing_operation_is_not_joined() -> None:
    graph = make_graph({"a": ["x"], "Cast_b": ["a"], "c": ["Cast_b"]}, {"a": 100, "Cast_b": 400})
    assert (0,) in group_nodes(graph)


def fan(width: int) -> Graph:
    """As many cheap nodes that read one value, and one that brings them together."""
    branches = [f"Relu_{at}" for at in range(width)]
    edges = {"a": ["x"], **{name: ["a"] for name in branches}, "Sum_y": branches, "z": ["Sum_y"]}
    return make_graph(edges, {})


def test_region_has_twenty_four_nodes_at_most() -> None:
    assert group_nodes(fan(23)) == (tuple(range(25)), (25,))
    assert (0,) in group_nodes(fan(24))


def test_value_that_the_model_gives_out_is_joined_by_nothing_behind_it() -> None:
    graph = make_graph({"a": ["x"], "Relu_b": ["a"], "c": ["Relu_b"]}, {})
    assert group_nodes(graph) == ((0, 1), (2,))
    assert group_nodes(replace(graph, outputs=("a", "c"))) == ((0,), (1,), (2,))


def test_operation_whose_result_nothing_is_known_of_is_not_joined() -> None:
    graph = make_graph({"a": ["x"], "Relu_b": ["a"], "c": ["Relu_b"]}, {})
    unknown = {name: spec for name, spec in graph.values.items() if name != "Relu_b"}
    assert group_nodes(replace(graph, values=unknown)) == ((0,), (1,), (2,))


def shaped(dtype: str, size: int, reads: tuple[str, ...] = ("a",)) -> Graph:
    """A value of `size` that is worked out of `reads`, and wanted by a node further behind."""
    edges = {"a": ["x"], "b": ["a"], "Shape_s": list(reads), "Reshape_r": ["b", "Shape_s"],
             "d": ["Reshape_r"]}  # fmt: skip
    graph = make_graph(edges, {})
    return replace(graph, values={**graph.values, "Shape_s": TensorSpec("Shape_s", dtype, (size,))})


@pytest.mark.parametrize(
    ("dtype", "size", "joins"),
    [("int64", 4, True), ("int32", 64, True), ("int64", 33, False), ("float32", 1, False)],
)
def test_shapes_are_worked_out_where_what_they_are_of_is_made(
    dtype: str, size: int, joins: bool
) -> None:
    groups = group_nodes(shaped(dtype, size))
    assert groups == (((0, 2), (1,), (3,), (4,)) if joins else ((0,), (1,), (2,), (3,), (4,)))


def test_shape_of_values_of_two_groups_or_of_the_input_has_no_home() -> None:
    assert (2,) in group_nodes(shaped("int64", 4, ("a", "b")))
    assert (2,) in group_nodes(shaped("int64", 4, ("x",)))


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Random DAGs of cheap operations and others, whose values have few different sizes."""
    edges: dict[str, list[str]] = {}
    for at in range(draw(st.integers(2, 12))):
        name = f"{draw(st.sampled_from(['Conv', 'Relu', 'Add', 'Shape']))}_{at}"
        known = ["x", *edges]
        edges[name] = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))
    sizes = {name: draw(st.sampled_from([10, 100])) for name in edges}
    graph = make_graph(edges, sizes)
    tiny = {n: TensorSpec(n, "int64", (2,)) for n in edges if n.startswith("Shape")}
    return replace(graph, values={**graph.values, **tiny})


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_groups_hold_every_node_once_and_wait_for_each_other_in_no_circle(graph: Graph) -> None:
    groups = group_nodes(graph)
    assert sorted(node for group in groups for node in group) == list(range(len(graph.nodes)))
    home = {node: at for at, group in enumerate(groups) for node in group}
    waits: dict[int, set[int]] = {at: set() for at in range(len(groups))}
    for value, node in graph.producer.items():
        for reader in graph.readers.get(value, ()):
            if home[reader] != home[node]:
                waits[home[reader]].add(home[node])
    TopologicalSorter(waits).prepare()  # raises CycleError
