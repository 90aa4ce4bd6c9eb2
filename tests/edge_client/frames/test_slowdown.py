"""A device that is played slower: everything it computes takes so many times as long."""

import math
from collections.abc import Mapping

import pytest

from edge_client.client import async_client
from edge_client.client.sync_client import EdgeClient
from edge_client.frames.choice import choose
from edge_client.frames.head import HeadRunner
from edge_client.frames.slowdown import Slowdown
from edge_client.frames.stages import Stages
from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import RuntimeOptions, Stage
from protos.names import EDGE
from protos.tensors import Array
from tests.kit.clocks import FakeClock
from tests.kit.frames import assert_same, crossing_cuts, frames, whole
from tests.kit.profiles import profile_of


class Device:
    """Work that takes what a test says, on a clock that its waits move on."""

    def __init__(self, times: float) -> None:
        self.clock = FakeClock()
        self.waits_s: list[float] = []
        self.slowdown = Slowdown(times, self.clock, self._wait)

    def takes_s(self, seconds: float, name: str = "head") -> float:
        """Run work that takes `seconds` here; return what the slower device took for it."""

        def work() -> None:
            self.clock.now_s += seconds

        return self.slowdown.run(name, work)[1]

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


def test_work_is_known_by_the_fastest_of_a_few_looks_which_cost_the_frame_nothing() -> None:
    device, seconds = Device(8), iter([0.75, 0.5, 0.25, 0.5, 0.5, 0.25])

    def work() -> None:
        device.clock.now_s += next(seconds)

    assert device.slowdown.run("head", work)[1] == 2.0
    assert next(seconds, None) is None


def test_waking_and_handing_over_take_what_the_slower_devices_profile_says(
    residual_bundle: Bundle,
) -> None:
    device = Device(8)
    assert device.slowdown.wake() == 0.0  # no profile tells
    measured = profile_of(residual_bundle, 0.02)
    measured = measured.model_copy(update={"resume_s": 0.25, "crossing_s": 0.125})
    device.slowdown.know(measured.scaled(8))
    assert device.slowdown.wake() == 7 * 0.25  # once it takes here by itself
    device.slowdown.hand_over()
    assert device.waits_s == [7 * 0.25, 7 * 0.125]


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
    """A device on which every stage takes 0.125 s, played eight times as slow."""
    device, compute = Device(8), Stage.run

    def run(stage: Stage, feeds: Mapping[str, Array]) -> dict[str, Array]:
        device.clock.now_s += 0.125
        return compute(stage, feeds)

    monkeypatch.setattr(Stage, "run", run)
    return device


def test_client_that_is_told_so_is_slow_and_gives_the_same_outputs(
    residual_bundle: Bundle, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowed(times: float) -> Slowdown:
        assert times == 8
        return device.slowdown

    monkeypatch.setattr(async_client, "Slowdown", slowed)
    (inputs,) = frames(residual_bundle, 1)
    with EdgeClient(None, residual_bundle, EDGE, slow=8) as client:
        result = client.infer(inputs)
    assert result.timings.edge_s == 1.0
    assert_same(result.outputs, whole(residual_bundle, inputs))


def test_seconds_that_a_stage_is_said_to_take_are_those_of_the_slower_device(
    residual_bundle: Bundle, device: Device
) -> None:
    stages = Stages(residual_bundle, RuntimeOptions(), slowdown=device.slowdown)
    cut = crossing_cuts(residual_bundle)[1]
    (inputs,) = frames(residual_bundle, 1)
    values, head_s = stages.run_head(cut, inputs)
    _, tail_s = stages.run_tail(cut, values)
    assert (head_s, tail_s) == (1.0, 1.0)
    assert (stages.head_s(cut), stages.tail_s(cut)) == (1.0, 1.0)
