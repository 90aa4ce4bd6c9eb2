"""The kernels of the runtime's profiler, back on the nodes of the model that they compute."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partitioner.bundle.bundle import Bundle
from partitioner.graph.graph import Graph, Node
from partitioner.profiles.parts.node_profiler import (
    KernelEvent,
    correct_overhead,
    record_kernels,
    spread_over_nodes,
)
from partitioner.profiles.profiler import measure_profile
from partitioner.runtime.sessions import RuntimeOptions, random_feeds
from protos.tensors import TensorSpec
from tests.kit.models import ZOO

HEAVY = ("Conv", "ConvTranspose", "MatMul", "Gemm")


def block() -> Graph:
    """A residual block as exporters write it: two convolutions with what is fused into them."""
    nodes = (
        Node("Conv_0", "Conv", ("x",), ("conv_0",), 100),
        Node("Bn_1", "BatchNormalization", ("conv_0",), ("bn_1",), 1),
        Node("Relu_2", "Relu", ("bn_1",), ("relu_2",), 1),
        Node("Conv_3", "Conv", ("relu_2",), ("conv_3",), 197),
        Node("Add_4", "Add", ("conv_3", "x"), ("add_4",), 1),
        Node("Relu_5", "Relu", ("add_4",), ("relu_5",), 1),
        Node("MatMul_6", "MatMul", ("relu_5",), ("matmul_6",), 49),
        Node("Add_7", "Add", ("matmul_6",), ("add_7",), 1),
    )
    names = ("x", *(node.outputs[0] for node in nodes))
    specs = {name: TensorSpec(name, "float32", (-1, 4)) for name in names}
    return Graph(nodes, ("x",), ("add_7",), specs)


def test_time_of_a_fused_kernel_goes_to_the_nodes_in_it_by_their_work() -> None:
    # As the runtime names them: a fused convolution after its last value, a product after its first node.
    events = [
        KernelEvent("ReorderInput", "ReorderInput", 0.0),
        KernelEvent("relu_2_nchwc", "Conv", 0.0),
        KernelEvent("relu_5_nchwc", "Conv", 0.0),
        KernelEvent("ReorderOutput_token_9", "ReorderOutput", 0.0),
        KernelEvent("fused MatMul_6/MatMulAddFusion", "FusedGemm", 0.0),
    ]
    found = spread_over_nodes(block(), events, [0.005, 0.1, 0.2, 0.002, 0.05])
    # (0.005 + 0.1) s over work 101 + 2 + 2, and (0.2 + 0.002) s over work 198 + 2 + 2.
    assert found[:3] == pytest.approx([0.101, 0.002, 0.002])
    assert found[3:6] == pytest.approx([0.198, 0.002, 0.002])
    assert found[6:] == pytest.approx([0.05 * 50 / 52, 0.05 * 2 / 52])


def test_name_that_begins_like_another_is_not_taken_for_it() -> None:
    nodes = tuple(
        Node(f"n_{at}", "Conv", (f"v{at - 1}" if at else "x",), (f"v{at}",), 9) for at in range(11)
    )
    graph = Graph(nodes, ("x",), ("v10",), {})
    events = [KernelEvent(f"v{at}_nchwc", "Conv", 0.0) for at in range(11)]
    found = spread_over_nodes(graph, events, [float(at) for at in range(11)])
    assert found == tuple(float(at) for at in range(11))


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=20),
    st.floats(1e-3, 30),
)
def test_corrected_kernels_add_up_and_keep_their_order(seconds: list[float], whole: float) -> None:
    corrected = correct_overhead(seconds, whole)
    assert sum(corrected) == pytest.approx(whole)
    assert min(corrected) >= 0
    order = np.argsort(seconds, kind="stable")
    assert all(np.diff(np.array(corrected)[order]) >= 0)
    shifts = {
        round(before - after, 9)
        for before, after in zip(seconds, corrected, strict=True)
        if after > 0
    }
    assert max(shifts) - min(shifts) < 1e-8


@pytest.mark.parametrize("name", ZOO)
def test_heavy_kernels_of_the_runtime_find_their_nodes(
    name: str, bundles: Callable[[str], Bundle]
) -> None:
    """One second for every real kernel that convolves or multiplies matrices, none for the others."""
    bundle = bundles(name)
    graph = bundle.graph
    assert graph is not None
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0))
    events, whole_s = record_kernels(bundle, feeds, RuntimeOptions(), until=0.0)
    assert whole_s > 0
    heavy = [any(word in event.op for word in HEAVY) for event in events]
    found = spread_over_nodes(graph, events, [float(one) for one in heavy])
    own = [s for s, node in zip(found, graph.nodes, strict=True) if node.op in HEAVY]
    assert sum(found) == pytest.approx(sum(heavy))
    assert own == [pytest.approx(1, abs=0.11)] * sum(heavy)


def test_profile_holds_the_seconds_of_nodes_and_scales_them(residual_bundle: Bundle) -> None:
    profile = measure_profile(residual_bundle, budget_s=0.0)
    assert profile.node_s is not None
    slower = profile.scaled(3.0)
    assert slower.node_s == pytest.approx([3 * seconds for seconds in profile.node_s])
    assert type(profile).model_validate_json(profile.model_dump_json()) == profile
