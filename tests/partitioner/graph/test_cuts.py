"""The cuts of a graph against brute force: every closed set of groups, on small random DAGs."""

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partitioner.graph.cuts import _thinned, find_cuts
from partitioner.graph.graph import Graph, Node
from partitioner.graph.ideals import BEAM, Ideal, Lattice, walk
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


@settings(max_examples=300)
@given(dags())
@pytest.mark.slow
def test_walk_finds_every_closed_cut_of_a_small_graph(graph: Graph) -> None:
    lattice = Lattice(graph)
    found = walk(lattice)
    assert found.complete
    assert {lattice.nodes(ideal) for ideal in found.ideals} == brute_force_heads(graph)


@settings(max_examples=300)
@given(dags())
@pytest.mark.slow
def test_frontier_bytes_and_work_are_those_of_the_head(graph: Graph) -> None:
    lattice = Lattice(graph)
    for ideal in walk(lattice).ideals:
        head = lattice.nodes(ideal)
        frontier = graph.frontier(head)
        assert ideal.values == len(frontier)
        assert ideal.nbytes == sum(graph.values[value].nbytes() for value in frontier)
        assert ideal.flops == sum(graph.nodes[node].flops for node in head)


@settings(max_examples=300)
@given(dags(), st.floats(0.01, 1e3), st.floats(0.01, 1e3))
@pytest.mark.slow
def test_dropped_cuts_never_win_by_more_than_the_width_of_the_window(
    graph: Graph, per_byte: float, per_flop: float
) -> None:
    """At any linear price, some kept cut (or end) costs at most 8 % of the total work more."""

    def price(nbytes: float, flops: float) -> float:
        return per_byte * nbytes + per_flop * flops

    best = min(price(ideal.nbytes, ideal.flops) for ideal in walk(Lattice(graph)).ideals)
    ends = [price(graph.values["x"].nbytes(), 0), price(0, graph.flops)]
    kept = [price(cut.nbytes, cut.flops) for cut in find_cuts(graph)]
    assert min(ends + kept) <= best + 0.08 * per_flop * graph.flops + 1e-6


@settings(max_examples=100, deadline=None)
@given(dags())
def test_no_kept_cut_is_beaten_at_its_work_or_by_neighbours_on_both_sides(graph: Graph) -> None:
    kept = [(cut.flops, cut.nbytes) for cut in find_cuts(graph)]
    points = [(0, graph.values["x"].nbytes()), *kept, (graph.flops, 0)]
    for at, (flops, nbytes) in enumerate(points[1:-1], 1):
        others = points[:at] + points[at + 1 :]
        work = [((one - flops) / graph.flops, size) for one, size in others]
        assert not [gap for gap, size in work if size <= nbytes and abs(gap) <= 0.01]
        fewer = [gap for gap, size in work if size < nbytes and abs(gap) <= 0.08]
        assert not (fewer and min(fewer) <= 0 <= max(fewer))


def test_frontier_may_have_sixteen_times_the_bytes_of_the_inputs_as_floats() -> None:
    # x has 100 bytes, 400 as float32; the smallest frontier in the middle has 300: 16 * 400 = 6,400.
    edges = {"a": ["x"], "b": ["a"], "c": ["b"], "d": ["c"]}
    graph = make_graph(edges, {"x": 100, "a": 6400, "b": 6401, "c": 300, "d": 1})
    assert [cut.frontier for cut in find_cuts(graph)] == [("a",), ("c",)]


def test_of_cuts_of_about_the_same_work_the_smallest_is_kept() -> None:
    # Half of 0.2 of 1,000 operations: 100. 300 is that near to 200 and to 400; 501 is just beyond 400.
    ideals = [
        Ideal(0, None, nbytes, 1, 0, flops)
        for flops, nbytes in [(200, 9), (300, 4), (400, 7), (501, 8), (600, 8)]
    ]
    assert [ideal.flops for ideal in _thinned(ideals, 0.2, 1000)] == [300, 501]


def test_value_read_by_two_tail_nodes_is_sent_once() -> None:
    graph = make_graph({"a": ["x"], "b": ["a"], "c": ["a"], "Concat_d": ["b", "c"]}, {"a": 10})
    assert graph.frontier({0}) == ("a",)


def test_model_of_one_group_has_no_cut() -> None:
    assert find_cuts(make_graph({"a": ["x"], "Relu_b": ["a"]}, {})) == ()


def test_number_of_cuts_is_bounded() -> None:
    names = [f"n{i}" for i in range(300)]
    edges = {name: [names[i - 1] if i else "x"] for i, name in enumerate(names)}
    cuts = find_cuts(make_graph(edges, {}), max_cuts=20)
    assert 5 <= len(cuts) <= 20


def test_as_many_cuts_as_are_allowed_are_kept() -> None:
    names = [f"n{i}" for i in range(12)]
    sizes = {name: 120 - 10 * i for i, name in enumerate(names)}
    graph = make_graph({name: [names[i - 1] if i else "x"] for i, name in enumerate(names)}, sizes)
    every = find_cuts(graph)
    assert len(every) > 2
    assert find_cuts(graph, max_cuts=len(every)) == every
    assert len(find_cuts(graph, max_cuts=len(every) - 1)) < len(every)


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


def branches(count: int, sizes: tuple[int, ...]) -> Graph:
    """Equal chains side by side, whose values have `sizes`, behind the input and before one value."""
    edges, known = {}, {"x": 10, "y": 10 * count}
    for branch in range(count):
        for place, size in enumerate(sizes):
            edges[f"b{branch}n{place}"] = [f"b{branch}n{place - 1}" if place else "x"]
            known[f"b{branch}n{place}"] = size
    edges["y"] = [f"b{branch}n{len(sizes) - 1}" for branch in range(count)]
    return make_graph({**edges, "z": ["y"]}, known)


def fewest_bytes(count: int, sizes: tuple[int, ...]) -> list[int]:
    """The fewest bytes of a frontier by the number of nodes in the head, branch by branch; the input is
    among them for as long as some branch has not begun."""
    places = [0, *sizes]
    most = count * len(sizes)
    begun = [0] + [10**9] * most  # all branches so far have begun
    some = [10**9] * (most + 1)  # at least one has not
    for _ in range(count):
        old_begun, old_some = begun, some
        begun, some = [10**9] * (most + 1), list(old_some)
        for head in range(most + 1):
            some[head] = min(some[head], old_begun[head])
            for place in range(1, min(head, len(sizes)) + 1):
                begun[head] = min(begun[head], old_begun[head - place] + places[place])
                some[head] = min(some[head], old_some[head - place] + places[place])
    return [min(begun[head], some[head] + 10) for head in range(most + 1)]


@pytest.mark.parametrize("sizes", [(50, 70), (70, 20, 60), (5, 90, 4)])
def test_fewest_bytes_of_equal_branches_are_found_at_every_level(sizes: tuple[int, ...]) -> None:
    graph = branches(40, sizes)
    lattice = Lattice(graph)
    found = walk(lattice)
    assert not found.complete
    least: dict[int, int] = {}
    for ideal in found.ideals:
        head = len(lattice.nodes(ideal))
        least[head] = min(least.get(head, ideal.nbytes), ideal.nbytes)
    wanted = fewest_bytes(40, sizes)
    assert [least[head] for head in range(1, 40 * len(sizes))] == wanted[1:-1]


def test_steps_of_the_walk_grow_with_the_nodes_and_not_with_the_branches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = 0
    follow = Lattice.follow

    def counted(*args: Any) -> Any:
        nonlocal steps
        steps += 1
        return follow(*args)

    monkeypatch.setattr(Lattice, "follow", counted)
    for count in (20, 80):
        graph, steps = branches(count, (50, 70)), 0
        walk(Lattice(graph))
        assert steps <= BEAM * len(graph.nodes)


def test_walk_that_leaves_heads_out_is_said() -> None:
    heard: list[str] = []
    find_cuts(branches(3, (50, 70)), on_remark=heard.append)
    assert not heard
    find_cuts(branches(40, (50, 70)), on_remark=heard.append)
    assert len(heard) == 1
    assert "more cuts than can be listed" in heard[0]
