"""Profiles: what is measured, on what, and that progress is told."""

import asyncio
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.head_export import export_heads
from partitioner.bundle.verification import largest_difference, verify_bundle
from partitioner.network.link import Link
from partitioner.planning.plan import plan
from partitioner.profiles import paused_frames, profiler, timing
from partitioner.profiles.paused_frames import PausedFrames, frame_factors, measure_crossing_s
from partitioner.profiles.profiler import measure_profile
from partitioner.profiles.samples import natural_feeds
from partitioner.profiles.timing import Repeated, sample_in_turns, time_call
from partitioner.runtime.sessions import RuntimeOptions, Stage
from protos.codecs.registry import get_codec
from protos.errors import ProfileError, UsageError
from protos.inference_pb2 import ModelInferRequest
from protos.names import model_name
from protos.tensors import TensorSpec
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
    given = measure_profile(image_bundle, budget_s=0, feeds=black)
    synthetic = measure_profile(image_bundle, budget_s=0)
    assert (given.inputs, synthetic.inputs) == ("given", "random")
    small = given.cuts["cloud"].codecs["jpeg-75"].upload_bytes
    assert small < synthetic.cuts["cloud"].codecs["jpeg-75"].upload_bytes


def test_short_calls_are_timed_in_blocks_and_at_least_three_times() -> None:
    calls: list[int] = []
    assert time_call(lambda: calls.append(1)).repeats == 3
    assert (len(calls) - 2) % 3 == 0
    assert len(calls) > 1000


class Played:
    """A machine on which preparing takes 20 ms and each call 4 ms, and nothing else takes any time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        self.prepared = ""
        monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: self.now_s))

    def sampled(self, name: str) -> Repeated:
        """Return a call that has had its first turn."""

        def call() -> None:
            self.now_s += 0.004

        def prepare() -> Callable[[], object]:
            self.prepared += name
            self.now_s += 0.02
            return call

        repeated = Repeated(prepare)
        repeated.sample(0.0)
        return repeated


def test_calls_take_turns_until_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Played(monkeypatch)
    calls = [machine.sampled("a"), machine.sampled("b")]
    sample_in_turns(calls, machine.now_s + 0.9)
    assert machine.prepared == "ab" + 3 * "ab"
    before = len(calls[1].seconds)
    sample_in_turns(calls, machine.now_s + calls[0].slot_s)  # too short for both
    assert len(calls[1].seconds) == before


def test_calls_that_are_held_take_short_turns_and_many(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Played(monkeypatch)
    calls = [machine.sampled("a"), machine.sampled("b")]
    end = machine.now_s + 0.9
    sample_in_turns(calls, end, hold=True)
    assert machine.prepared == "ab" + "ab"
    # A turn is a warm-up, a trial and a block of two calls, 16 ms, and a pass over both 32 ms; the first
    # one prepares for 40 ms besides. As long as the last pass fits, there is another: after n passes
    # 40 + 32 n ms are gone, and the last one begins before 900 - 32: n = 26.
    assert [len(call.seconds) for call in calls] == [3 + 26] * 2
    assert machine.now_s <= end
    sample_in_turns(calls, end + 0.2)
    assert machine.prepared.startswith("ab" * 3)  # nothing is held any more


def test_paused_frames_come_after_a_pause_and_take_what_the_call_does() -> None:
    called_at: list[float] = []

    def call() -> None:
        called_at.append(time.perf_counter())
        while time.perf_counter() < called_at[-1] + 0.01:
            pass

    with PausedFrames(call, 0.5, time.perf_counter()) as frames:
        frames.complete(0.0, lambda: None)
        frames.complete(0.0, lambda: None)
    assert len(frames.seconds) == 5
    assert min(frames.seconds) >= 0.01
    # The first call loads and warms up, and is none of them; behind each frame two come in a row.
    gaps = [later - before for before, later in itertools.pairwise(called_at)]
    assert len(gaps) == 5 * 3
    assert min(gaps[::3]) >= 0.1
    assert max(min(gaps[place::3]) for place in (1, 2)) < 0.1


def test_frames_that_nobody_waits_for_any_more_are_not_timed() -> None:
    def stop() -> None:
        raise InterruptedError

    with PausedFrames(lambda: None, 0.5, 0.0) as frames, pytest.raises(InterruptedError):
        frames.complete(0.0, stop)
    assert frames.seconds == []


def test_resuming_is_what_a_frame_takes_beyond_calls_in_a_row_whatever_the_machines_pace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s, pace_s, asleep = 0.0, 0.0, False

    async def sleep(pause_s: float) -> None:
        nonlocal now_s, pace_s, asleep
        now_s += pause_s
        pace_s += 0.005  # slower with every frame
        asleep = True

    def call() -> None:
        nonlocal now_s, asleep
        now_s += pace_s + (0.02 if asleep else 0.0)
        asleep = False

    clock = SimpleNamespace(perf_counter=lambda: now_s)
    loop = SimpleNamespace(sleep=sleep, get_running_loop=asyncio.get_running_loop)
    for module, name, played in (
        (timing, "time", clock),
        (paused_frames, "time", clock),
        (paused_frames, "asyncio", loop),
    ):
        monkeypatch.setattr(module, name, played)
    with PausedFrames(call, 0.5, 0.0) as frames:
        frames.complete(0.0, lambda: None)
    assert frames.seconds == pytest.approx([0.03, 0.035, 0.04, 0.045, 0.05])
    assert frames.resume_s == pytest.approx(0.02)


def test_paused_frames_keep_to_their_share_of_the_time() -> None:
    now_s = time.perf_counter()
    with PausedFrames(lambda: None, 0.5, now_s) as behind:
        behind.keep_up()
    with PausedFrames(lambda: None, 0.5, now_s + 60) as ahead:
        ahead.keep_up()
    assert (len(behind.seconds), len(ahead.seconds)) == (1, 0)


def test_factors_are_on_the_median_and_sorted() -> None:
    assert frame_factors([0.03, 0.01, 0.02]) == pytest.approx((0.5, 1.0, 1.5))


def test_profile_knows_what_frames_take_that_come_after_a_pause(residual_bundle: Bundle) -> None:
    profile = measure_profile(residual_bundle, budget_s=0)
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


@pytest.mark.parametrize(("hold", "stages_end_s"), [(True, 40.0), (False, 24.0)])
def test_stages_too_large_to_be_held_leave_time_for_paused_frames(
    hold: bool, stages_end_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 40 s, 0.4 are theirs: in between where all is held, else behind the stages' 24 s."""
    ends: list[float] = []

    def sample_in_turns(
        _calls: object, end: float, on_turn: Callable[[], None], hold: bool = False
    ) -> None:
        ends.append(end)
        on_turn()

    monkeypatch.setattr(profiler, "sample_in_turns", sample_in_turns)
    begun, told = time.perf_counter() - 100, []
    frames = profiler._take_turns(
        [], lambda: lambda: None, (begun, begun + 40), lambda: told.append(1), hold=hold
    )
    assert ends == [pytest.approx(begun + stages_end_s)]
    assert (len(frames.seconds), len(told)) == (5, 5 if hold else 6)  # so all of it can be stopped


def test_crossing_is_what_is_not_the_network() -> None:
    def read() -> None:
        until = time.perf_counter() + 0.01
        while time.perf_counter() < until:
            pass

    assert measure_crossing_s(read) >= 0.01
    assert measure_crossing_s(lambda: None) > 0


async def test_resuming_is_measured_inside_a_running_loop_too() -> None:
    with PausedFrames(lambda: None, 0.5, 0.0) as frames:
        frames.complete(0.0, lambda: None)
    assert min(frames.seconds) > 0
    assert measure_crossing_s(lambda: None) > 0


def test_synthetic_images_compress_as_photographs_do() -> None:
    spec = TensorSpec("image", "uint8", (-1, 240, 320, 3))
    image = natural_feeds((spec,), np.random.default_rng(0))["image"]
    ratio = image.nbytes / len(get_codec("jpeg").encode(image, "image"))
    # Photographs at quality 75 come down 8 to 30 times, noise twice.
    assert 5 < ratio < 40


@pytest.mark.parametrize(
    ("one", "two", "gap"),
    [
        ([1.0, 2.0], [1.0, 2.5], 0.5),
        ([np.nan, np.inf], [np.nan, np.inf], 0.0),
        ([np.nan, 1.0], [0.0, 1.0], np.inf),
        ([np.inf, 1.0], [-np.inf, 1.0], np.inf),
        ([1.0], [1.0, 2.0], np.inf),
    ],
)
def test_largest_difference(one: list[float], two: list[float], gap: float) -> None:
    assert largest_difference(np.array(one), np.array(two)) == gap


def test_wrong_tail_is_found(residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tail whose answer is a hundredth off, in a bundle that is otherwise right."""
    opened = Bundle.open_tail

    class Shifted:
        def __init__(self, stage: object) -> None:
            self.stage = stage

        def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {key: array + 0.01 for key, array in self.stage.run(feeds).items()}  # type: ignore[attr-defined]

    def open_tail(bundle: Bundle, cut: str, options: object = None) -> object:
        stage = opened(bundle, cut, None)
        return Shifted(stage) if cut == "cut-03" else stage

    monkeypatch.setattr(Bundle, "open_tail", open_tail)
    feeds = natural_feeds(residual_bundle.inputs, np.random.default_rng(0))
    checks = verify_bundle(residual_bundle, feeds)
    assert [check.cut for check in checks if not check.ok] == ["cut-03"]


def test_tail_that_answers_nothing_is_found_however_small_the_outputs(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Bundle.open_tail

    class Tiny:
        def __init__(self, stage: Stage, factor: float) -> None:
            self.stage, self.factor = stage, factor

        def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {
                key: array * np.float32(self.factor) for key, array in self.stage.run(feeds).items()
            }

    def open_tail(bundle: Bundle, cut: str, options: object = None) -> object:
        return Tiny(opened(bundle, cut, None), 0 if cut == "cut-03" else 1e-5)

    monkeypatch.setattr(Bundle, "open_tail", open_tail)
    feeds = natural_feeds(residual_bundle.inputs, np.random.default_rng(0))
    wrong = [check.cut for check in verify_bundle(residual_bundle, feeds) if not check.ok]
    assert "cut-03" in wrong
    assert "cut-02" not in wrong


@pytest.mark.parametrize("threads", [0, -1, 1025, 10**12])
def test_threads_that_no_machine_has_are_refused(threads: int) -> None:
    with pytest.raises(UsageError, match=f"{threads} threads cannot compute. Give 1 to 1024"):
        RuntimeOptions(threads)


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
