"""Profiles: what is measured, on what, and that progress is told."""

import itertools
import time
from pathlib import Path

import numpy as np
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.head_export import export_heads
from partitioner.network.link import Link
from partitioner.planning.plan import plan
from partitioner.profiles.paused_frames import PausedFrames, measure_crossing_s
from partitioner.profiles.profiler import measure_profile
from partitioner.profiles.stage_order import nested_cuts
from partitioner.profiles.timing import Repeated
from protos.errors import ProfileError
from protos.inference_pb2 import ModelInferRequest
from protos.names import model_name
from tests.kit.profiles import profile_of, profile_of_heads


def test_every_head_and_tail_and_the_nodes_are_timed_once_and_told(residual_bundle: Bundle) -> None:
    told: list[tuple[str, int, int]] = []
    profile = measure_profile(
        residual_bundle, budget_s=0.01, on_progress=lambda *step: told.append(step)
    )
    assert list(profile.cuts) == list(residual_bundle.cuts)
    stages = 2 * len(residual_bundle.cuts) + 1
    assert [done for done, _ in itertools.groupby(done for _, done, _ in told)] == list(
        range(stages + 1)
    )
    assert {total for _, _, total in told} == {stages}
    for name, cut in profile.cuts.items():
        assert (cut.head is None) == (name == "cloud")
        assert (cut.tail is None) == (name == "edge")
        for stage in (cut.head, cut.tail):
            if stage:
                assert 0 < stage.timing.p10_s <= stage.timing.median_s <= stage.timing.p90_s
                assert stage.timing.repeats >= 3
                assert stage.estimate
                assert 0 < stage.estimate.repeats <= stage.timing.repeats
                assert stage.seconds == stage.estimate.seconds > 0
    for before, after in nested_cuts(residual_bundle):
        (first, second), slack = (profile.cuts[before], profile.cuts[after]), 1e-4
        if first.head and second.head:
            assert first.head.seconds <= second.head.seconds + slack
        if first.tail and second.tail:
            assert first.tail.seconds >= second.tail.seconds - slack


def test_bytes_are_those_of_whole_messages(residual_bundle: Bundle) -> None:
    profile = measure_profile(residual_bundle, budget_s=0)
    for name, cut in residual_bundle.cuts.items():
        measured = profile.cuts[name]
        assert measured.frontier_bytes == sum(spec.nbytes() for spec in cut.frontier)
        if name != "edge":
            request = ModelInferRequest(model_name=model_name(residual_bundle.name, name), id="0")
            request.parameters["bundle_digest"].string_param = residual_bundle.digest
            for spec in cut.frontier:
                shape = list(spec.sized())
                request.inputs.add(name=spec.name, datatype=spec.oip_datatype, shape=shape)
                request.raw_input_contents.append(bytes(spec.nbytes()))
            assert measured.codecs["raw"].upload_bytes == len(request.SerializeToString())
            assert 10 * 4 < measured.download_bytes < 200


def test_image_input_is_measured_with_jpeg_too(image_bundle: Bundle) -> None:
    profile = measure_profile(image_bundle, budget_s=0)
    assert set(profile.cuts["cloud"].codecs) == {"raw", "jpeg-75", "webp-75"}
    assert set(profile.cuts["cut-02"].codecs) == {"raw", "half", "int8"}
    made = plan(image_bundle, Link(1e6, 1e6, 0.01), profile, profile)
    assert made.options[1].label == "cloud/jpeg-75"
    # What they lose was never measured, so nobody is offered half and int8 unless they ask.
    assert {option.codec for option in made.options} == {"raw", "jpeg-75", "webp-75"}
    asked = plan(image_bundle, Link(1e6, 1e6, 0.01), profile, profile, codec="half")
    assert {option.codec for option in asked.options} == {"raw", "half"}
    assert made.left_out == 2 * len(image_bundle.manifest.cuts)


def test_given_inputs_are_what_codecs_are_measured_on(image_bundle: Bundle) -> None:
    (spec,) = image_bundle.inputs
    black = [{spec.name: np.zeros(spec.sized(), np.uint8)}]
    ends = image_bundle.only([])
    given = measure_profile(ends, budget_s=0, feeds=black)
    synthetic = measure_profile(ends, budget_s=0)
    assert (given.inputs, synthetic.inputs) == ("given", "random")
    small = given.cuts["cloud"].codecs["jpeg-75"].upload_bytes
    assert small < synthetic.cuts["cloud"].codecs["jpeg-75"].upload_bytes


def test_profile_knows_what_frames_take_that_come_after_a_pause(residual_bundle: Bundle) -> None:
    profile = measure_profile(residual_bundle.only([]), budget_s=0)
    whole = profile.cuts["edge"].head
    assert whole is not None
    assert profile.resume_s >= 0
    assert len(profile.frame_factors) == 5
    assert list(profile.frame_factors) == sorted(profile.frame_factors)
    assert profile.frame_factors[2] == 1
    # They are shares, so that they are the same on a machine that is slower at everything.
    slow = profile.scaled(3)
    assert slow.frame_factors == profile.frame_factors
    assert slow.resume_s == pytest.approx(3 * profile.resume_s)
    assert slow.cuts["edge"].head is not None
    assert slow.cuts["edge"].head.frame_s == pytest.approx(3 * whole.frame_s)


def test_crossing_is_what_is_not_the_network() -> None:
    def read() -> None:
        until = time.perf_counter() + 0.01
        while time.perf_counter() < until:
            pass

    assert measure_crossing_s(read) >= 0.01
    assert measure_crossing_s(lambda: None) > 0


async def test_resuming_is_measured_inside_a_running_loop_too() -> None:
    stage = Repeated(lambda: lambda: None)
    with PausedFrames([stage], lambda: None, 0.5, 0.0) as frames:
        frames.complete(lambda: None)
    assert min(frame.frame_s for frame in frames.frames) > 0
    assert measure_crossing_s(lambda: None) > 0


def test_profile_of_heads_measures_heads_and_knows_the_size_of_answers(
    middle_head: Bundle, residual_bundle: Bundle
) -> None:
    profile = measure_profile(middle_head, budget_s=0.1)
    theirs = measure_profile(residual_bundle.only(list(middle_head.cuts)), budget_s=0.1)
    assert profile.heads_only
    assert not theirs.heads_only
    assert profile.node_s is None
    assert list(profile.cuts) == list(middle_head.cuts)
    for cut, found in profile.cuts.items():
        assert found.tail is None
        assert (found.head is None) == (cut == "cloud")
        assert found.download_bytes == theirs.cuts[cut].download_bytes
        assert found.codecs.keys() == theirs.cuts[cut].codecs.keys()
        assert found.codecs["raw"].upload_bytes == theirs.cuts[cut].codecs["raw"].upload_bytes
    assert profile.resume_s >= 0
    assert profile.crossing_s > 0


def test_profile_of_other_heads_than_the_bundle_has_is_refused(
    middle_head: Bundle, residual_bundle: Bundle, tmp_path: Path
) -> None:
    other = export_heads(residual_bundle, tmp_path / "other", ["cut-01"])
    edge = profile_of_heads(profile_of(residual_bundle, 0.02), other)
    cloud = profile_of(residual_bundle, 0.001)
    without = edge.model_copy(update={"cuts": {}})
    with pytest.raises(ProfileError, match="lacks the cuts"):
        plan(residual_bundle, Link(1e6, 1e6, 0.05), without, cloud)
    made = plan(middle_head, Link(1e6, 1e6, 0.05), edge, cloud)
    assert {option.cut for option in made.options} == {"cloud"}
