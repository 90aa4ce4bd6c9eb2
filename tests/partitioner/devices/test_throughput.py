"""How long devices take: by hand, and against times that others published."""

import pytest

from partitioner.devices.device import device_names, load_device
from partitioner.devices.throughput import Throughput
from partitioner.graph.graph import Graph
from partitioner.graph.work import NodeWork, WorkKind, work_of
from tests.kit.public_networks import mobilenet_v1, mobilenet_v2, resnet, squeezenet

NETWORKS = {
    "squeezenet": squeezenet(),
    "mobilenet": mobilenet_v1(),
    "mobilenet_v2": mobilenet_v2(),
    "resnet18": resnet(18),
    "resnet50": resnet(50),
}
NCNN = "Tencent/ncnn, benchmark/README.md"
PUBLISHED_MS = [
    # Raspberry Pi 4 at 1.5 GHz, in the version of 2020, and after its issue 3485 of 2022.
    ("raspberry-pi-4", 4, NCNN, {"squeezenet": 58.73, "mobilenet": 86.01, "mobilenet_v2": 75.84,
                                 "resnet18": 233.89, "resnet50": 486.97}),
    ("raspberry-pi-4", 4, NCNN, {"squeezenet": 58.93, "mobilenet": 72.08, "mobilenet_v2": 72.62,
                                 "resnet18": 176.18}),
    # The same at 1.8 GHz.
    ("raspberry-pi-4", 4, NCNN, {"squeezenet": 46.65, "mobilenet": 61.17, "mobilenet_v2": 61.88,
                                 "resnet18": 123.12, "resnet50": 262.83}),
    ("raspberry-pi-4", 1, NCNN, {"squeezenet": 73.96, "mobilenet": 124.32, "mobilenet_v2": 93.48,
                                 "resnet18": 191.10, "resnet50": 534.11}),
    ("raspberry-pi-4", 4, "google/XNNPACK, README.md", {"mobilenet": 75.0, "mobilenet_v2": 44.0}),
    # An i7-7700K: the laptop's cores at 4.5 instead of 3.4 GHz.
    ("laptop", 1, NCNN, {"squeezenet": 9.15, "mobilenet": 15.18, "mobilenet_v2": 11.22,
                         "resnet18": 29.92, "resnet50": 75.91}),
    # A Pixel 3a: the phone's cores a generation older, at 2.0 instead of 2.4 GHz.
    ("phone", 1, "google/XNNPACK, README.md", {"mobilenet": 88.0, "mobilenet_v2": 55.0}),
]  # fmt: skip


@pytest.mark.parametrize(("device", "threads", "source", "rows"), PUBLISHED_MS)
def test_published_times_lie_within_the_range(
    device: str, threads: int, source: str, rows: dict[str, float]
) -> None:
    rate = load_device(device).with_threads(threads).rate
    assert rate is not None
    for name, wanted_ms in rows.items():
        found_ms = 1e3 * rate.total_s(work_of(NETWORKS[name]))
        assert rate.low * found_ms <= wanted_ms <= rate.high * found_ms, (source, name)


def test_detectors_with_onnx_runtime_on_a_raspberry_pi_5_lie_within_the_range() -> None:
    """visionanalysis.org, "ncnn FP32 vs ONNX Runtime FP32 on Raspberry Pi 5": frames a second, by GFLOP."""
    rate = load_device("raspberry-pi-5").with_threads(4).rate
    assert rate is not None
    for gflop, onnx_fps, ncnn_fps in (
        (6.45, 9.4, 18.4),
        (26.8, 2.5, 5.7),
        (73.8, 1.1, 2.9),
        (102.1, 0.7, 1.9),
    ):
        dense_s = gflop / rate.dense_gflops
        assert rate.low * dense_s <= 1 / onnx_fps <= rate.high * dense_s
        assert 1 / ncnn_fps == pytest.approx(rate.low * dense_s, rel=0.35)  # at its very end


def test_depthwise_network_takes_longer_than_its_operations_say() -> None:
    # MobileNetV2 has a sixth of the operations of ResNet-18, and takes far more than a sixth of the time.
    for name in device_names():
        for rate in load_device(name).throughput:
            light, heavy = (
                rate.total_s(work_of(NETWORKS[net])) for net in ("mobilenet_v2", "resnet18")
            )
            assert 0.25 < light / heavy < 1


def test_more_threads_are_faster_but_not_as_many_times() -> None:
    for name in ("raspberry-pi-4", "raspberry-pi-5", "phone", "laptop"):
        one, four = load_device(name).throughput
        assert (one.threads, four.threads) == (1, 4)
        for graph in NETWORKS.values():
            ratio = one.total_s(work_of(graph)) / four.total_s(work_of(graph))
            assert 1.5 < ratio < 4


def test_node_takes_its_arithmetic_or_its_bytes() -> None:
    rate = Throughput(dense_gflops=10, depthwise_gflops=2, memory_gb_s=4, node_us=5)
    dense = NodeWork(WorkKind.DENSE, 20_000_000, 4_000_000)  # 2 ms of arithmetic, 1 ms of bytes
    fully_connected = NodeWork(WorkKind.DENSE, 2_000_000, 4_000_000)  # 0.2 ms and 1 ms
    depthwise = NodeWork(WorkKind.DEPTHWISE, 6_000_000, 4_000_000)  # 3 ms and 1 ms
    adding = NodeWork(WorkKind.MEMORY, 500_000, 12_000_000)  # 3 ms of bytes
    works = (dense, fully_connected, depthwise, adding)
    assert [rate.node_s(work) for work in works] == pytest.approx(
        [2.005e-3, 1.005e-3, 3.005e-3, 3.005e-3]
    )
    assert rate.total_s(works) == pytest.approx(9.02e-3)
    assert rate.node_s(NodeWork(WorkKind.MEMORY, 0, 0)) == 0


SERVER_NODE_US = 2.8
"""What an operator of little work takes with ONNX Runtime 1.31 on one thread of an Intel Xeon VM: from chains
of 20 and 120 convolutions of 8 channels of 4 x 4 (depthwise 1.3, products 0.8, sums 0.9)."""


def test_operator_of_little_work_takes_longer_than_on_the_core_of_a_server() -> None:
    tiny = NodeWork(WorkKind.DENSE, 2 * 8 * 8 * 16, 4 * (2 * 128 + 64))
    for name in device_names():
        for rate in load_device(name).throughput:
            assert 1e6 * rate.node_s(tiny) > SERVER_NODE_US, name


def test_network_of_many_small_operators_is_priced_by_more_than_its_operations() -> None:
    # At 1/49 of the pixels there are as many operators and weights, with little work for each.
    small, whole = mobilenet_v1(side=32), NETWORKS["mobilenet"]
    assert small.flops < whole.flops / 40
    for name in ("raspberry-pi-4", "raspberry-pi-5", "phone", "laptop"):
        for rate in load_device(name).throughput:
            ratio = rate.total_s(work_of(whole)) / rate.total_s(work_of(small))
            assert ratio < 30, name


def test_networks_have_the_operations_that_their_papers_say() -> None:
    def multiplies(graph: Graph) -> float:
        return graph.flops / 2e9

    assert multiplies(NETWORKS["mobilenet"]) == pytest.approx(0.57, rel=0.02)
    assert multiplies(NETWORKS["mobilenet_v2"]) == pytest.approx(0.30, rel=0.02)
    assert multiplies(NETWORKS["resnet18"]) == pytest.approx(1.82, rel=0.02)
    assert multiplies(NETWORKS["resnet50"]) == pytest.approx(4.1, rel=0.02)
    assert multiplies(NETWORKS["squeezenet"]) == pytest.approx(0.39, rel=0.1)
