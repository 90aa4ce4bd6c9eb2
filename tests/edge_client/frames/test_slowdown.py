"""A device that is played slower: everything it computes takes so many times as long."""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from time import perf_counter

import numpy as np
import pytest

from edge_client.client import async_client, completion, live_version, local_finish, pipeline
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.client.sync_client import EdgeClient
from edge_client.control.estimates import EdgeEstimates
from edge_client.frames import head, outcome
from edge_client.frames.choice import Choice, choose
from edge_client.frames.head import HeadRunner
from edge_client.frames.slowdown import Slowdown, batch_of, encoding_of
from edge_client.frames.stages import Side, Stages
from partitioner.bundle.bundle import Bundle
from partitioner.network.link import Link
from partitioner.planning.plan import Plan, plan
from partitioner.profiles.profile import CodecProfile, Profile
from partitioner.runtime.sessions import RuntimeOptions, Stage, random_feeds
from protos.errors import FaultError
from protos.inference_pb2 import ModelInferRequest
from protos.names import EDGE
from protos.tensors import Array, Buffer
from tests.kit.clients import follow, loaded, see
from tests.kit.clocks import FakeClock
from tests.kit.fake_cloud import FakeCloud
from tests.kit.frames import assert_same, crossing_cuts, frames, whole
from tests.kit.profiles import profile_of


class Device:
    """Work that takes what a test says, on a clock that its waits move on."""

    def __init__(self, times: float) -> None:
        self.clock = FakeClock()
        self.waits_s: list[float] = []
        self.slowdown = Slowdown(times, self.clock, self._wait)

    def takes_s(self, seconds: float, name: str = "head", batch: int = 1) -> float:
        """Run work that takes `seconds` here; return what the slower device took for it."""
        return self.slowdown.run(name, partial(self.compute, seconds), batch)[1]

    def compute(self, seconds: float) -> None:
        """Be busy for `seconds`, as this device and not the slower one."""
        self.clock.now_s += seconds

    def _wait(self, seconds: float) -> None:
        self.waits_s.append(seconds)
        self.clock.now_s += seconds


def test_work_takes_so_many_times_as_long_as_it_took_here() -> None:
    device = Device(8)
    assert [device.takes_s(0.25) for _ in range(3)] == [2.0] * 3
    assert device.waits_s == [1.75] * 3  # the rest of 8 x 0.25 s, with the core free


def test_device_at_its_own_speed_never_waits() -> None:
    device = Device(1)
    assert device.takes_s(0.25) == 0.25
    assert device.waits_s == []


def test_single_run_that_was_disturbed_is_not_multiplied() -> None:
    device = Device(8)
    device.takes_s(0.25)
    assert device.takes_s(1.25) == 1.25 + 7 * 0.25


def test_work_is_known_by_the_fastest_of_a_few_looks_which_wait_for_nothing() -> None:
    device, seconds = Device(8), iter([0.75, 0.5, 0.25, 0.5, 0.5])
    device.slowdown.look("head", lambda: device.compute(next(seconds)))
    assert next(seconds, None) is None
    assert device.waits_s == []
    assert device.takes_s(0.25) == 2.0


def test_frame_never_runs_its_work_more_than_once() -> None:
    device, runs = Device(8), []
    for _ in range(3):
        device.slowdown.run("head", lambda: runs.append(None))
    assert len(runs) == 3


def test_device_that_has_become_slower_is_followed_within_a_few_frames() -> None:
    device = Device(2)
    device.slowdown.look("head", partial(device.compute, 0.25))
    for _ in range(20):
        device.takes_s(0.25)
    for _ in range(10):
        latest_s = device.takes_s(0.5)
    assert latest_s == 1.0
    assert device.takes_s(0.25) == 0.25 + 0.5
    assert device.takes_s(0.25) == 0.5  # and at once when it is as fast as before


def test_what_runs_take_longer_after_their_wait_than_in_a_row_is_not_multiplied() -> None:
    device = Device(8)
    device.slowdown.look("head", partial(device.compute, 0.25))
    assert {device.takes_s(0.375) for _ in range(12)} == {0.375 + 7 * 0.25}


def test_batch_takes_so_many_times_as_long_as_it_took_here_whatever_came_first() -> None:
    for sizes in ((1, 8, 1, 8), (8, 1, 8, 1)):
        device = Device(8)
        assert [device.takes_s(0.125 * size, batch=size) for size in sizes] == list(sizes)


def test_first_run_of_a_batch_that_is_cold_is_waited_for_by_what_other_batches_take() -> None:
    device = Device(8)
    device.slowdown.look("head", partial(device.compute, 0.25))
    assert device.takes_s(3.0, batch=2) == 3.0 + 7 * 0.5  # a GPU chooses its kernels anew
    assert [device.takes_s(0.375, batch=2) for _ in range(2)] == [8 * 0.375] * 2


def test_first_run_that_is_cold_is_not_multiplied_in_the_second() -> None:
    device = Device(8)
    device.takes_s(3.0)
    assert [device.takes_s(0.25) for _ in range(2)] == [2.0] * 2


def test_first_encoding_after_a_move_is_waited_for_by_the_profile_where_it_is_cold(
    residual_bundle: Bundle,
) -> None:
    cut, device = crossing_cuts(residual_bundle)[1], Device(8)
    device.slowdown.know(profile_with_encoding(residual_bundle, 0.02, cut, 0.25).scaled(8))
    encode = partial(device.compute, 1.5)
    assert device.slowdown.run(encoding_of(f"{cut}/raw"), encode)[1] == 1.5 + 7 * 0.25


def profile_with_encoding(bundle: Bundle, slowness: float, cut: str, encode_s: float) -> Profile:
    """A profile in which encoding takes some time at one cut."""
    measured = profile_of(bundle, slowness)
    codecs = {"raw": CodecProfile(encode_s=encode_s, decode_s=0, upload_bytes=1000)}
    slower = measured.cuts[cut].model_copy(update={"codecs": codecs})
    return measured.model_copy(update={"cuts": {**measured.cuts, cut: slower}})


def test_stage_that_fails_on_made_up_values_is_known_by_its_first_frame() -> None:
    device = Device(8)

    def fail() -> None:
        raise FaultError("no such index.")

    device.slowdown.look("head", fail)
    assert device.slowdown.knows("head")
    assert device.takes_s(0.25) == 2.0


def test_waking_and_handing_over_take_what_the_slower_devices_profile_says(
    residual_bundle: Bundle,
) -> None:
    device = Device(8)
    device.slowdown.wake()
    assert device.waits_s == []  # no profile tells
    measured = profile_of(residual_bundle, 0.02)
    measured = measured.model_copy(update={"resume_s": 0.25, "crossing_s": 0.125})
    device.slowdown.know(measured.scaled(8))
    device.slowdown.wake()
    device.slowdown.hand_over()
    assert device.waits_s == [7 * 0.25, 7 * 0.125]  # once each takes here by itself


def test_resuming_a_stage_or_a_codec_takes_the_slower_device_what_its_profile_says(
    residual_bundle: Bundle,
) -> None:
    cut, device = crossing_cuts(residual_bundle)[1], Device(8)
    codecs = {"raw": CodecProfile(encode_s=0.5, decode_s=0, upload_bytes=1000, resume_s=0.0625)}
    found = profile_of(residual_bundle, 0.02).cuts[cut]
    assert found.head is not None
    head_profile = found.head.model_copy(update={"resume_s": 0.125})
    resumed = found.model_copy(update={"codecs": codecs, "head": head_profile})
    measured = profile_of(residual_bundle, 0.02).model_copy(update={"cuts": {cut: resumed}})
    device.slowdown.know(measured.scaled(8))
    for name, resume_s in ((("head", cut), 0.125), (encoding_of(f"{cut}/raw"), 0.0625)):
        device.slowdown.look(name, partial(device.compute, 0.25))
        took_s = device.slowdown.run(name, partial(device.compute, 0.25 + resume_s))[1]
        assert took_s == 8 * (0.25 + resume_s)
    # What takes less in frames than it was seen to on made-up values is not waited for twice.
    other = "head", cut
    device = Device(8)
    device.slowdown.know(measured.scaled(8))
    device.slowdown.look(other, partial(device.compute, 0.5))
    took_s = [device.slowdown.run(other, partial(device.compute, 0.375))[1] for _ in range(3)]
    assert took_s[1:] == [8 * 0.375] * 2


def test_work_of_another_name_has_times_of_its_own() -> None:
    device = Device(4)
    device.takes_s(0.25, "head")
    assert device.takes_s(0.5, "tail") == 2.0


def test_head_tail_and_encoding_of_a_frame_are_all_slowed(residual_bundle: Bundle) -> None:
    waited: list[float] = []
    stages = Stages(residual_bundle, RuntimeOptions(), slowdown=Slowdown(8, sleep=waited.append))
    cut = crossing_cuts(residual_bundle)[1]
    (inputs,) = frames(residual_bundle, 1)
    chosen = choose(residual_bundle, cut, "half", "test")
    work = HeadRunner(stages).prepare(inputs, 0, 0.0, math.inf, chosen)
    assert len(waited) == 2  # head and encoding
    stages.run_tail(cut, work.values)
    assert len(waited) == 3
    assert all(seconds > 0 for seconds in waited)


def test_exit_is_slowed_and_what_it_answers_is_not_encoded(exiting: Bundle) -> None:
    waited: list[float] = []
    runner = HeadRunner(
        Stages(exiting, RuntimeOptions(), slowdown=Slowdown(8, sleep=waited.append))
    )
    runner.answer_from(1e-9)
    cut = next(cut for cut in crossing_cuts(exiting) if runner.stages.has_exit(cut))
    (inputs,) = frames(exiting, 1)
    work = runner.prepare(inputs, 0, 0.0, math.inf, choose(exiting, cut, None, "test"))
    assert work.message is None
    assert len(waited) == 2  # head and exit


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    """A device on which a stage takes 0.125 s a sample and encoding 0.0625 s, played eight times as slow."""
    device, compute, encode = Device(8), Stage.run, head.encode_request

    def run(stage: Stage, feeds: Mapping[str, Array], *_: object) -> dict[str, Array]:
        device.compute(0.125 * batch_of(stage.inputs, feeds))
        return compute(stage, feeds)

    def slow_encode(header: ModelInferRequest, buffers: Sequence[Buffer]) -> bytes:
        device.compute(0.0625)
        return encode(header, buffers)

    monkeypatch.setattr(Stage, "run", run)
    monkeypatch.setattr(head, "encode_request", slow_encode)
    return device


def slow_stages(bundle: Bundle, device: Device) -> Stages:
    return Stages(bundle, RuntimeOptions(), slowdown=device.slowdown)


def prefetch(stages: Stages, side: Side, cut: str) -> None:
    """Open a stage as a move does, and wait until that is done."""
    stages.prefetch(side, cut)
    assert stages._opener is not None
    stages._opener.submit(lambda: None).result()
    assert stages.is_open(side, cut)


@pytest.fixture
def slow_client(device: Device, monkeypatch: pytest.MonkeyPatch) -> Callable[..., EdgeClient]:
    """Clients of that device, which tell the time by its clock."""

    def slowed(times: float) -> Slowdown:
        assert times == 8
        return device.slowdown

    monkeypatch.setattr(live_version, "Slowdown", slowed)
    for module in (async_client, pipeline, completion, local_finish, outcome):
        monkeypatch.setattr(module, "perf_counter", device.clock)
    return partial(EdgeClient, slow=8)


def test_client_that_is_told_so_is_slow_and_gives_the_same_outputs(
    residual_bundle: Bundle, slow_client: Callable[..., EdgeClient]
) -> None:
    (inputs,) = frames(residual_bundle, 1)
    with slow_client(None, residual_bundle, EDGE) as client:
        result = client.infer(inputs)
    assert result.timings.edge_s == 1.0
    assert_same(result.outputs, whole(residual_bundle, inputs))


def test_first_frame_meets_the_deadline_that_those_after_it_meet(
    residual_bundle: Bundle, slow_client: Callable[..., EdgeClient]
) -> None:
    with slow_client(None, residual_bundle, EDGE, deadline_s=1.0) as client:
        results = [client.infer(inputs) for inputs in frames(residual_bundle, 3)]
    assert [result.latency_s for result in results] == [1.0] * 3


async def test_no_frame_computes_its_head_more_than_once_whether_first_or_moved(
    residual_bundle: Bundle, planned: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_version, "Slowdown", partial(Slowdown, sleep=lambda _: None))
    runs: list[str] = []
    compute = Stage.run

    def run(stage: Stage, feeds: Mapping[str, Array], *_: object) -> dict[str, Array]:
        runs.append(threading.current_thread().name)
        return compute(stage, feeds)

    monkeypatch.setattr(Stage, "run", run)
    (inputs,), cuts = frames(residual_bundle, 1), []
    async with (
        FakeCloud(residual_bundle) as cloud,
        AsyncEdgeClient(cloud.address, residual_bundle, "cut-01", deadline_s=60, slow=8) as client,
    ):
        follow(client, planned)
        await loaded(client, planned.best.cut)
        await loaded(client, EDGE)
        for uplink_bps in (1e9, 1e9, 0.2e6, 0.2e6, 1e9, 1e9):
            see(client, uplink_bps)
            runs.clear()
            cuts.append((await client.infer(inputs)).cut)
            assert runs.count("splitpoint-device_0") == 1
    assert cuts == [planned.best.cut] * 2 + [EDGE] * 2 + [planned.best.cut] * 2


def test_first_frame_that_crosses_takes_what_those_after_it_take(
    exiting: Bundle, device: Device
) -> None:
    runner = HeadRunner(slow_stages(exiting, device))
    cut = next(cut for cut in crossing_cuts(exiting) if runner.stages.has_exit(cut))
    choice = choose(exiting, cut, "half", "test")
    runner.warm(choice)
    assert frame_times_s(runner, choice, device) == [2.5] * 3  # head, exit, encoding


def test_first_frame_after_a_move_takes_what_those_after_it_take(
    exiting: Bundle, device: Device
) -> None:
    runner = HeadRunner(slow_stages(exiting, device))
    cut = next(cut for cut in crossing_cuts(exiting) if runner.stages.has_exit(cut))
    prefetch(runner.stages, "head", cut)
    choice = choose(exiting, cut, "half", "moved")
    assert frame_times_s(runner, choice, device) == [2.5] * 3


def frame_times_s(runner: HeadRunner, choice: Choice, device: Device) -> list[float]:
    """Return what three frames take under a deadline, by the clock; they say that they took as long."""
    seconds = []
    for inputs in frames(runner.stages.bundle, 3):
        begun_s = device.clock()
        work = runner.prepare(inputs, 0, begun_s, begun_s + 10.0, choice)
        seconds.append(device.clock() - begun_s)
        assert work.edge_s == seconds[-1]
    return seconds


def test_first_tail_of_a_fallback_takes_what_those_after_it_take(
    residual_bundle: Bundle, device: Device
) -> None:
    stages = slow_stages(residual_bundle, device)
    cut = crossing_cuts(residual_bundle)[1]
    prefetch(stages, "tail", cut)
    (inputs,) = frames(residual_bundle, 1)
    values, _ = stages.run_head(cut, inputs)
    begun_s = device.clock()
    assert stages.run_tail(cut, values)[1] == device.clock() - begun_s == 1.0


def test_head_counts_as_open_once_it_and_its_exit_were_looked_at(
    exiting: Bundle, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = slow_stages(exiting, device)
    cut = next(cut for cut in crossing_cuts(exiting) if stages.has_exit(cut))
    seen: list[bool] = []
    run = Stage.run

    def noting(stage: Stage, feeds: Mapping[str, Array], *_: object) -> dict[str, Array]:
        seen.append(stages.is_open("head", cut))
        return run(stage, feeds)

    monkeypatch.setattr(Stage, "run", noting)
    prefetch(stages, "head", cut)
    assert seen == [False] * 10


def test_frame_that_finds_its_stage_not_opened_yet_is_charged_for_one_run_of_it(
    residual_bundle: Bundle, device: Device
) -> None:
    stages = slow_stages(residual_bundle, device)
    begun_s, (inputs,) = device.clock(), frames(residual_bundle, 1)
    assert stages.run_head(EDGE, inputs)[1] == device.clock() - begun_s == 1.0
    assert stages.is_open("head", EDGE)


def test_batches_of_changing_size_are_each_slowed_by_what_they_take(
    residual_bundle: Bundle, device: Device
) -> None:
    stages = slow_stages(residual_bundle, device)
    stages.warm(EDGE)
    rng = np.random.default_rng(0)
    took_s = [
        stages.run_head(EDGE, random_feeds(residual_bundle.inputs, rng, batch))[1]
        for batch in (1, 4, 1, 8, 4)
    ]
    assert took_s == [1.0, 4.0, 1.0, 8.0, 4.0]


def test_slowed_device_does_not_look_like_a_loaded_one(
    residual_bundle: Bundle, device: Device
) -> None:
    cut, whole_s = crossing_cuts(residual_bundle)[1], 0.125 * (len(residual_bundle.cuts) - 1)
    slower = profile_with_encoding(residual_bundle, whole_s, cut, 0.0625).scaled(8)
    made = plan(residual_bundle, Link(1e9, 1e9, 0.0005), slower, profile_of(residual_bundle, 1e-3))
    option = next(option for option in made.options if option.label == f"{cut}/raw")
    choice = replace(choose(residual_bundle, cut, "raw", "test"), option=option)
    runner, learned = HeadRunner(slow_stages(residual_bundle, device)), EdgeEstimates()
    runner.stages.know(slower)
    learned.begin(made.link)
    prefetch(runner.stages, "head", cut)
    for inputs in frames(residual_bundle, 5):
        learned.prepared(runner.prepare(inputs, 0, 0.0, math.inf, choice))
    load = learned.conditions(perf_counter()).edge_load
    assert load == pytest.approx(1.0)


def test_seconds_that_a_stage_is_said_to_take_are_those_of_the_slower_device(
    residual_bundle: Bundle, device: Device
) -> None:
    stages = slow_stages(residual_bundle, device)
    cut = crossing_cuts(residual_bundle)[1]
    (inputs,) = frames(residual_bundle, 1)
    values, head_s = stages.run_head(cut, inputs)
    _, tail_s = stages.run_tail(cut, values)
    assert (head_s, tail_s) == (1.0, 1.0)
    assert (stages.head_s(cut), stages.tail_s(cut)) == (1.0, 1.0)
