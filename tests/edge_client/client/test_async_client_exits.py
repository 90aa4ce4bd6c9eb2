"""Exits on the device and in the plan: early answers, the last resort, and what they make likely."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from edge_client.cli.reports.remarks import tell_of_exits
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.client.sync_client import EdgeClient
from edge_client.control.controller import Controller
from edge_client.control.offer import Limits
from edge_client.frames.choice import Choice, choose
from edge_client.frames.head import HeadRunner
from edge_client.frames.result import ServedBy
from edge_client.frames.stages import Stages
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.exits import CONFIDENCE, BundleExits, ExitCost
from partitioner.cli.main import app
from partitioner.common.defaults import ExitThreshold
from partitioner.estimators.circuit_breaker import Breaker
from partitioner.exits.ladder import Rung, ladder_for
from partitioner.network.link import Link
from partitioner.planning.plan import Plan, plan
from partitioner.policy.settings import PolicySettings
from partitioner.runtime.sessions import RuntimeOptions
from protos.errors import UsageError
from protos.names import EDGE
from tests.kit.clients import stages_of
from tests.kit.exit_models import colours, first_cut
from tests.kit.fake_cloud import FakeCloud, silence
from tests.kit.frames import assert_same, whole
from tests.kit.profiles import profile_of

FRAMES, LABELS = colours(40, seed=3)


def confidences(bundle: Bundle, cut: str) -> list[float]:
    head, exit_ = bundle.open_head(cut), bundle.open_exit(cut)
    return [float(exit_.run(head.run({"x": f[None]}))[CONFIDENCE][0]) for f in FRAMES]


async def test_frame_that_is_sure_enough_needs_no_cloud_and_the_others_do(exiting: Bundle) -> None:
    cut = first_cut(exiting)
    async with (
        FakeCloud(exiting) as cloud,
        AsyncEdgeClient(cloud.address, exiting, cut, exit_threshold=0.9) as client,
    ):
        results = [result async for result in client.stream({"x": f[None]} for f in FRAMES)]
        asked = len(cloud.requests)
    early = [result for result in results if result.served_by is ServedBy.EXIT]
    assert 0 < len(early) < len(results)
    assert asked == len(results) - len(early)
    for result, frame in zip(results, FRAMES, strict=True):
        if result.served_by is ServedBy.EXIT:
            assert result.upload_bytes == 0
            assert result.reason.endswith("of 0.900 wanted")
            assert set(result.outputs) == {spec.name for spec in exiting.outputs}
            (scores,) = result.outputs.values()
            chances = np.exp(scores) / np.exp(scores).sum()
            assert f"{chances.max():.3f}" in result.reason
        else:
            assert result.served_by is ServedBy.CLOUD
            assert_same(result.outputs, whole(exiting, {"x": frame[None]}))


async def test_threshold_can_be_moved_while_frames_come(exiting: Bundle) -> None:
    cut = first_cut(exiting)
    frame = FRAMES[np.argmin(confidences(exiting, cut))]
    async with (
        FakeCloud(exiting) as cloud,
        AsyncEdgeClient(cloud.address, exiting, cut) as client,
    ):
        served = [(await client.infer(frame)).served_by]
        for threshold in (0.0, 1.0, "auto", None):
            client.exit_threshold = threshold
            served.append((await client.infer(frame)).served_by)
    own = served.pop(3)
    assert own in (ServedBy.EXIT, ServedBy.CLOUD)
    assert served == [ServedBy.CLOUD, ServedBy.EXIT, ServedBy.CLOUD, ServedBy.CLOUD]


async def test_batch_exits_only_if_its_least_sure_sample_does(exiting: Bundle) -> None:
    cut = first_cut(exiting)
    async with (
        FakeCloud(exiting) as cloud,
        AsyncEdgeClient(cloud.address, exiting, cut, exit_threshold=0.0) as client,
    ):
        alone = confidences(exiting, cut)[:8]
        client.exit_threshold = (min(alone) + sorted(alone)[1]) / 2
        result = await client.infer(FRAMES[:8])
        assert result.served_by is ServedBy.CLOUD
        client.exit_threshold = min(alone) - 0.001
        result = await client.infer(FRAMES[:8])
        assert result.served_by is ServedBy.EXIT
        assert next(iter(result.outputs.values())).shape == (8, 3)


async def test_exit_answers_when_the_cloud_fails_and_the_tail_does_not_fit(
    exiting: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = first_cut(exiting)
    async with (
        FakeCloud(exiting, silence) as cloud,
        AsyncEdgeClient(cloud.address, exiting, cut, deadline_s=1.0) as client,
    ):
        monkeypatch.setattr(stages_of(client), "tail_s", lambda _: 60.0)
        result = await client.infer(FRAMES[:1])
    assert result.served_by is ServedBy.EXIT
    assert result.error is None
    assert result.reason.startswith("cloud too slow")
    assert "Taken from the exit, with confidence" in result.reason


def test_client_without_a_loop_exits_too_and_says_what_it_cannot(
    exiting: Bundle, classifier: Bundle
) -> None:
    for bad in (-0.1, 1.5, float("nan"), "often"):
        with pytest.raises(UsageError, match=r"is no exit threshold|does not exist"):
            AsyncEdgeClient("127.0.0.1:1", exiting, exit_threshold=bad)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"has no exits\. Train some"):
        AsyncEdgeClient("127.0.0.1:1", classifier, exit_threshold="auto")
    with EdgeClient("127.0.0.1:9", exiting, first_cut(exiting), exit_threshold=0.0) as client:
        assert client.infer(FRAMES[0]).served_by is ServedBy.EXIT  # though nobody is there
        client.exit_threshold = None
        assert client.exit_threshold is None


def older(exits: BundleExits) -> BundleExits:
    """The same, as if their thresholds had been chosen without an allowance for chance."""
    known = {
        cut: replace(found, meta=found.meta.model_copy(update={"threshold": 0.4}))
        for cut, found in exits.by_cut.items()
    }
    meta = exits.meta.model_copy(update={"exits": tuple(found.meta for found in known.values())})
    return BundleExits(meta, known)


def test_thresholds_of_an_older_splitpoint_are_told_apart_until_they_are_chosen_anew(
    exiting: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    def remarks(bundle: Bundle, threshold: ExitThreshold) -> str:
        tell_of_exits(bundle, threshold)
        return " ".join(capsys.readouterr().err.split())

    exits = exiting.known_exits()
    assert exits.outdated == ()
    assert remarks(exiting, "own") == ""
    older(exits).save(exiting.path)
    old = Bundle.load(exiting.path)
    assert old.known_exits().outdated == tuple(exits.by_cut)
    way = f"splitpoint exits threshold {exiting.path} --agreement {exits.meta.agreement:g}."
    for threshold in ("own", "auto"):
        assert way in remarks(old, threshold)
    assert remarks(old, 0.9) == remarks(old, None) == ""

    def command(*words: object) -> tuple[str, str]:
        app(["exits", *map(str, words)], standalone_mode=False)
        told = capsys.readouterr()
        return told.out, " ".join(told.err.split())

    assert "chosen by another splitpoint, and are not what" in command("report", old.path)[1]
    assert json.loads(command("report", old.path, "--json")[0])["outdated"] == list(exits.by_cut)
    command("threshold", old.path, "--agreement", exits.meta.agreement)
    assert "another splitpoint" not in command("report", old.path)[1]


@pytest.mark.parametrize(
    ("cut", "threshold", "deadline_s"),
    [("auto", 0.9, 1.0), ("auto", "auto", None), ("", "auto", 1.0)],
)
def test_floor_without_a_threshold_that_moves_is_refused(
    exiting: Bundle, cut: str, threshold: ExitThreshold, deadline_s: float | None
) -> None:
    with pytest.raises(UsageError, match="bounds a threshold that moves"):
        AsyncEdgeClient(
            "127.0.0.1:1",
            exiting,
            cut or first_cut(exiting),
            exit_threshold=threshold,
            deadline_s=deadline_s,
            exit_floor=0.9,
        )


def test_latency_without_a_policy_to_keep_it_is_refused(exiting: Bundle) -> None:
    with pytest.raises(UsageError, match="kept by a policy that moves the cut"):
        AsyncEdgeClient("127.0.0.1:1", exiting, first_cut(exiting), latency_s=0.1)
    with pytest.raises(UsageError, match="a latency of 0 s cannot be kept"):
        AsyncEdgeClient("127.0.0.1:1", exiting, "auto", latency_s=0.0)
    made = AsyncEdgeClient("127.0.0.1:1", exiting, exit_threshold="auto", latency_s=0.1)
    assert made.control.settings.limit_s == 0.1


def test_policy_moves_the_threshold_under_a_deadline_and_says_so(exiting: Bundle) -> None:
    """The device takes 400 ms for the whole; the link is slow, so that only exits are in time."""
    cut, made = first_cut(exiting), priced(exiting)
    # An exit of so small a model may take longer than its head; here it takes a tenth.
    ladder = [
        replace(rung, costs={cut: ExitCost(rung.costs[cut].rate, 0.1)})
        for rung in ladder_for(exiting.exits, "auto", 0.2, floor=0.9)
    ]
    stages = Stages(exiting, RuntimeOptions())
    control = Controller(exiting, stages, Breaker(), PolicySettings(deadline_s=0.2))
    moves: list[Choice] = []
    control.on_move.add(moves.append)
    control.expect_exits(ladder)
    here = next(option for option in made.options if option.cut == cut)
    control.follow(made.at(FAST), here, "test", Limits())
    for name in exiting.cuts:
        stages.warm(name)
    before = control.next(0.0)
    assert before.exits_from == math.inf  # with a fast link no exit has to answer early
    control.follow(made, here, "test", Limits())
    now = control.next(1.0)
    assert now.exits_from in {rung.thresholds.get(now.cut.id) for rung in ladder[1:]}
    assert f"exits from {now.exits_from:.3g} on (" in now.reason
    assert moves[-1] == now
    runner = HeadRunner(stages)
    assert runner.exits_from(now) is None  # nobody has asked for early answers
    runner.answer_from("auto")
    assert runner.exits_from(now) == now.exits_from
    assert runner.exits_from(before) is None
    held = choose(exiting, cut, None, "chosen by the caller")
    assert runner.exits_from(held) == exiting.known_exits().find(cut).meta.threshold
    unsure = FRAMES[np.argmin(confidences(exiting, now.cut.id))][None]
    for threshold in (0.0, 1.0):
        told = replace(now, exits_from=threshold)
        work = runner.prepare({"x": unsure}, 0, 0.0, math.inf, told)
        assert (work.message is None) == (threshold == 0.0)
    stages.close()


FAST = Link(1e9, 1e9, 0.001)


def priced(bundle: Bundle) -> Plan:
    """A slow link, a slow device and a fast cloud."""
    return plan(bundle, Link(1e5, 1e5, 0.2), profile_of(bundle, 0.4), profile_of(bundle, 0.01))


def test_policy_counts_on_exits_and_recounts_when_the_threshold_moves(
    exiting: Bundle,
) -> None:
    made = priced(exiting)
    stages = Stages(exiting, RuntimeOptions())
    control = Controller(exiting, stages, Breaker(), PolicySettings())
    control.follow(made, made.best, "test", Limits())
    cut = first_cut(exiting)
    for name in exiting.cuts:
        stages.warm(name)
    assert control.next(0.0).cut.id != cut
    control.expect_exits([Rung({cut: ExitCost(rate=1.0, head_share=0.0)}, {cut: 0.6})])
    choice = control.next(10.0)
    assert choice.cut.id == cut
    assert choice.option is not None
    assert choice.option.exit_rate == 1.0
    assert choice.exits_from == 0.6
    control.expect_exits([Rung()])
    assert control.next(20.0).cut.id != cut
    stages.close()


def test_new_threshold_holds_for_the_next_frame_though_it_waits_for_a_head(
    exiting: Bundle,
) -> None:
    made, cut = priced(exiting), first_cut(exiting)
    stages = Stages(exiting, RuntimeOptions())
    control = Controller(exiting, stages, Breaker(), PolicySettings())
    control.expect_exits([Rung({cut: ExitCost(rate=0.9, head_share=0.0)}, {cut: 0.6})])
    here = next(option for option in made.options if option.cut == cut)
    control.follow(made, here, "test", Limits())
    stages.warm(cut)
    assert control.next(0.0).exits_from == 0.6
    stages._stages.pop(("head", EDGE), None)
    stages.prefetch = lambda side, cut_id: None  # type: ignore[method-assign]
    # Where hardly a frame exits, all should stay on the device, whose head is not loaded.
    control.expect_exits([Rung({cut: ExitCost(rate=0.01, head_share=0.1)}, {cut: 0.95})])
    for told in (control.current, control.next(1.0)):
        assert told is not None
        assert (told.cut.id, told.exits_from) == (cut, 0.95)
        assert told.option is not None
        assert told.option.exit_rate == 0.01
    stages.close()
