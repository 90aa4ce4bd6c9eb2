"""Which nodes stay together, and where a model may be cut."""

from partitioner.graph.groups import group_nodes
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
