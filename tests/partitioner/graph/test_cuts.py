"""The cuts of a graph against brute force: every closed set of groups, on small random DAGs."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partitioner.graph.cuts import _Lattice, _walk, find_cuts
from partitioner.graph.graph import Graph, Node
from protos.errors import ModelError
from protos.tensors import TensorSpec
from tests.kit.graphs import make_graph


@st.composite
def dags(draw: st.DrawFn) -> Graph:
    """Random DAGs of 3 to 8 operations that no runtime would fuse, with random sizes and work."""
    count = draw(st.integers(3, 8))
    names = [f"n{i}" for i in range(count)]
    edges: dict[str, list[str]] = {}
    for at, name in enumerate(names):
        known = ["x", *names[:at]]
        edges[name] = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))
    sizes = {name: draw(st.integers(1, 1000)) for name in ("x", *names)}
    nodes = tuple(
        Node(name, "Conv", tuple(reads), (name,), draw(st.integers(1, 1000)))
        for name, reads in edges.items()
    )
    specs = {name: TensorSpec(name, "uint8", (-1, sizes[name])) for name in ("x", *names)}
    return Graph(nodes, ("x",), (names[-1],), specs)


def brute_force_heads(graph: Graph) -> set[frozenset[int]]:
    """Every closed, proper, non-empty set of nodes whose frontier is not empty."""
    count = len(graph.nodes)
    found = set()
    for size in range(1, count):
        for chosen in combinations(range(count), size):
            head = frozenset(chosen)
            made = {"x", *(v for i in head for v in graph.nodes[i].outputs)}
            if all(made.issuperset(graph.nodes[i].inputs) for i in head) and graph.frontier(head):
                found.add(head)
    return found


@settings(max_examples=300, deadline=None)
@given(dags())
@pytest.mark.slow
def test_walk_finds_every_closed_cut_of_a_small_graph(graph: Graph) -> None:
    lattice = _Lattice(graph)
    found = {lattice.cut(ideal).head for ideal in _walk(lattice)}
    assert found == brute_force_heads(graph)


@settings(max_examples=300, deadline=None)
@given(dags())
@pytest.mark.slow
def test_frontier_bytes_and_work_are_those_of_the_head(graph: Graph) -> None:
    lattice = _Lattice(graph)
    for ideal in _walk(lattice):
        cut = lattice.cut(ideal)
        assert set(cut.frontier) == set(ideal.open_values)
        assert cut.nbytes == sum(graph.values[value].nbytes() for value in cut.frontier)
        assert cut.flops == sum(graph.nodes[node].flops for node in cut.head)


@settings(max_examples=300, deadline=None)
@given(dags(), st.floats(0.01, 1e3), st.floats(0.01, 1e3))
@pytest.mark.slow
def test_dropped_cuts_never_win_by_more_than_the_width_of_the_window(
    graph: Graph, per_byte: float, per_flop: float
) -> None:
    """At any linear price, some kept cut (or end) costs at most 8 % of the total work more."""

    def price(nbytes: float, flops: float) -> float:
        return per_byte * nbytes + per_flop * flops

    lattice = _Lattice(graph)
    best = min(price(ideal.nbytes, ideal.flops) for ideal in _walk(lattice))
    ends = [price(lattice.start().nbytes, 0), price(0, graph.flops)]
    try:
        kept = [price(cut.nbytes, cut.flops) for cut in find_cuts(graph)]
    except ModelError:
        kept = []
    assert min(ends + kept) <= best + 0.08 * per_flop * graph.flops + 1e-6


def test_value_read_by_two_tail_nodes_is_sent_once() -> None:
    graph = make_graph({"a": ["x"], "b": ["a"], "c": ["a"], "Concat_d": ["b", "c"]}, {"a": 10})
    assert graph.frontier({0}) == ("a",)


def test_model_of_one_group_has_no_cut() -> None:
    with pytest.raises(ModelError, match="no cut"):
        find_cuts(make_graph({"a": ["x"], "Relu_b": ["a"]}, {}))


def test_number_of_cuts_is_bounded() -> None:
    names = [f"n{i}" for i in range(300)]
    edges = {name: [names[i - 1] if i else "x"] for i, name in enumerate(names)}
    cuts = find_cuts(make_graph(edges, {}), max_cuts=20)
    assert 5 <= len(cuts) <= 20


def test_cut_with_more_bytes_than_both_neighbours_is_dropped() -> None:
    names = [f"n{i}" for i in range(40)]
    edges = {name: [names[i - 1] if i else "x"] for i, name in enumerate(names)}
    sizes = {name: 100 if i % 2 else 300 for i, name in enumerate(names)}
    frontiers = [cut.frontier[0] for cut in find_cuts(make_graph(edges, sizes))]
    assert frontiers == [name for i, name in enumerate(names[:-1]) if i % 2]


def test_pooled_vector_at_the_end_does_not_forbid_the_layers_before_it() -> None:
    """Tokens in, wide layers of one size, a small vector out: the layers are where it is cut."""
    names = [f"n{i}" for i in range(40)]
    edges = {name: [names[i - 1] if i else "x"] for i, name in enumerate(names)}
    edges |= {"pool": [names[-1]], "last": ["pool"]}
    sizes = dict.fromkeys(names, 32_000) | {"x": 256, "pool": 64, "last": 8}
    graph = make_graph(edges, sizes, flops=1000)
    assert len([cut for cut in find_cuts(graph) if cut.nbytes == 32_000]) >= 10
