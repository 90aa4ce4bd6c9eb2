"""A profile as another device would have it: by hand on a model's own graph."""

import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.devices.device import Device, load_device
from partitioner.devices.scaled_profile import device_scale, scaled_to
from partitioner.devices.throughput import Throughput
from partitioner.graph.work import work_of
from partitioner.profiles.profile import Profile
from protos.errors import ProfileError, UsageError
from protos.names import EDGE
from tests.kit.plans import BOARD
from tests.kit.profiles import MACHINE, codec, make, profile_of

RATE = Throughput(dense_gflops=1.0, depthwise_gflops=0.2, memory_gb_s=1.0)
SLOW = Device(name="slow", title="s", idle_w=1, compute_w=2, throughput=(RATE,))


def head_s(profile: Profile, cut: str) -> float:
    stage = profile.cuts[cut].head
    return stage.timing.median_s if stage else 0.0


def test_heads_and_tails_take_what_their_nodes_do(residual_bundle: Bundle) -> None:
    profile = profile_of(residual_bundle, 0.1)
    scaled = scaled_to(SLOW, profile, residual_bundle)
    graph = residual_bundle.graph
    assert graph is not None
    whole_s = RATE.total_s(work_of(graph))
    assert head_s(scaled, EDGE) == pytest.approx(whole_s)
    assert scaled.scale == pytest.approx(whole_s / 0.1)
    heads = [head_s(scaled, cut) for cut in residual_bundle.cuts]
    assert heads == sorted(heads)
    for cut, found in scaled.cuts.items():
        tail_s = found.tail.timing.median_s if found.tail else 0.0
        assert head_s(scaled, cut) + tail_s == pytest.approx(whole_s)
        nodes = graph.head_before(spec.name for spec in residual_bundle.cuts[cut].frontier)
        if cut != EDGE:
            works = [work_of(graph)[node] for node in nodes]
            assert head_s(scaled, cut) == pytest.approx(RATE.total_s(works))


def test_codecs_take_as_many_times_as_long_as_the_model_and_no_gpu_speeds_them_up(
    residual_bundle: Bundle,
) -> None:
    plain = profile_of(residual_bundle, 0.1)
    cut = next(name for name, one in plain.cuts.items() if one.codecs and one.head)
    found = plain.cuts[cut].model_copy(update={"codecs": {"raw": codec(10, 0.002, 0.001)}})
    profile = plain.model_copy(update={"cuts": {**plain.cuts, cut: found}})

    def encode_s(rate: Throughput) -> float:
        device = SLOW.model_copy(update={"throughput": (rate,)})
        return scaled_to(device, profile, residual_bundle).cuts[cut].codecs["raw"].encode_s

    factor = scaled_to(SLOW, profile, residual_bundle).scale
    assert encode_s(RATE) == pytest.approx(0.002 * factor)
    quick = Throughput(on="gpu", dense_gflops=1e6, depthwise_gflops=1e6, memory_gb_s=1e6)
    assert encode_s(quick) == 0.002


def test_device_without_throughput_is_what_was_profiled(residual_bundle: Bundle) -> None:
    profile = profile_of(residual_bundle, 0.1)
    assert device_scale(BOARD, profile, residual_bundle) is None
    assert scaled_to(BOARD, profile, residual_bundle) is profile


def test_what_cannot_be_scaled_is_refused(residual_bundle: Bundle) -> None:
    profile = profile_of(residual_bundle, 0.1)
    with pytest.raises(UsageError, match="with 3 threads is not known, but with 1 or 4"):
        scaled_to(load_device("phone").with_threads(3), profile, residual_bundle)
    empty = Profile(
        splitpoint="0", bundle="x", bundle_digest="x", machine=MACHINE,
        measured_at="2026-01-01T00:00:00+00:00", inputs="given", cuts={},
    )  # fmt: skip
    with pytest.raises(ProfileError, match="lacks the cut edge"):
        scaled_to(SLOW, empty, residual_bundle)
    bundle, without_graph = make({"cloud": (0.0, 0.1, {}), "edge": (0.1, 0.0, {})})
    with pytest.raises(UsageError, match="cannot be scaled to slow. Give `edge_scale`"):
        scaled_to(SLOW, without_graph, bundle)
