"""Exits on the device and in the plan: early answers, the last resort, and what they make likely."""

import json

import numpy as np
import pytest

from edge_client import AsyncEdgeClient, EdgeClient, ServedBy
from edge_client.breaking import Breaker
from edge_client.controlling import Controller, Limits
from edge_client.settings import parse_threshold
from edge_client.stages import Stages
from partitioner.bundle import Bundle
from partitioner.cli import app
from partitioner.conditions import Conditions
from partitioner.estimating import LinkEstimate
from partitioner.exits.making import cuts_to_exit
from partitioner.exits.stored import CONFIDENCE, ExitCost
from partitioner.link import Link
from partitioner.objectives import Terms, price
from partitioner.planning import plan
from partitioner.policy import PolicySettings, expected_s
from partitioner.sessions import RuntimeOptions
from protos.errors import SplitpointError, UsageError
from tests.edge_fakes import FakeCloud, whole
from tests.exit_models import colours
from tests.test_edge_adapting import profile_of
from tests.test_edge_client import assert_same
from tests.test_edge_failures import silence
from tests.test_planning import codec, make

FRAMES, LABELS = colours(40, seed=3)


def first_cut(bundle: Bundle) -> str:
    return cuts_to_exit(bundle)[0].id


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
        AsyncEdgeClient(cloud.address, exiting, cut, deadline_s=0.5) as client,
    ):
        monkeypatch.setattr(client._runner.stages, "tail_s", lambda _: 60.0)
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


def test_threshold_is_a_setting() -> None:
    assert [parse_threshold(text) for text in ("auto", "none", "0.9")] == ["auto", None, 0.9]
    with pytest.raises(SplitpointError, match="no exit threshold"):
        parse_threshold("often")


EXAMPLE = {
    "cloud": (0.0, 0.100, {"raw": codec(20_000)}),
    "cut-01": (0.030, 0.070, {"raw": codec(10_000, 0.001, 0.001)}),
    "edge": (0.100, 0.0, {"raw": codec(0)}),
}
LINK = Link(1e6, 2e6, 0.05)


def test_plan_with_exits_by_hand() -> None:
    bundle, profile = make(EXAMPLE)
    plain = plan(bundle, LINK, profile, profile.scaled(0.1))
    made = plain.with_exits({"cut-01": ExitCost(rate=0.6, head_share=0.1)})
    option = next(option for option in made.options if option.cut == "cut-01")
    assert option.exit_s == pytest.approx(0.003)  # a tenth of the head's 30 ms
    # Device 30 + 1 + 3 ms; 40 % of: network 50 + 80 + 4 ms, cloud a tenth of 1 + 70 ms.
    assert option.total_s == pytest.approx(0.034 + 0.4 * (0.134 + 0.0071))
    assert made.best is option  # 90.4 ms, before the edge's 100
    assert plain.best.cut == "edge"
    # With a load of 2 on the device and 3 in the cloud, whose queue takes 5 ms:
    seen = Conditions(LinkEstimate(LINK, 0, 0, 0), edge_load=2, cloud_load=3, cloud_queue_s=0.005)
    assert expected_s(option, seen) == pytest.approx(2 * 0.034 + 0.4 * (0.134 + 0.005 + 3 * 0.0071))
    # On average 40 % of 10,000 bytes up and 1,000 down; p95 is that of a frame that crosses.
    costs = price(option, made, Terms())
    assert costs.bytes == pytest.approx(4400)
    assert costs.latency_s == pytest.approx(option.total_s)
    assert costs.p95_s == pytest.approx(0.034 + 0.134 + 0.0071)
    assert made.with_exits({}).options == plain.options
    # cut-01 and edge are equal where 34 + 0.4 * (50 + 4 + 7.1 + 80 / Mbit/s) = 100: at 0.7698 Mbit/s.
    switches = {(s.below.cut, s.above.cut): s.uplink_bps for s in made.switches()}
    assert switches["edge", "cut-01"] == pytest.approx(0.032 / (0.066 - 0.4 * 0.0611) * 1e6)


def test_policy_counts_on_exits_and_recounts_when_the_threshold_moves(
    exiting: Bundle,
) -> None:
    edge, cloud = profile_of(exiting, 0.4), profile_of(exiting, 0.01)
    made = plan(exiting, Link(1e5, 1e5, 0.2), edge, cloud)
    stages = Stages(exiting, RuntimeOptions())
    control = Controller(exiting, stages, Breaker(), PolicySettings())
    control.follow(made, made.best, "test", Limits())
    cut = first_cut(exiting)
    for name in exiting.cuts:
        stages.warm(name)
    assert control.next(0.0, 1).cut.id != cut
    control.expect_exits({cut: ExitCost(rate=1.0, head_share=0.0)})
    choice = control.next(10.0, 1)
    assert choice.cut.id == cut
    assert choice.option is not None
    assert choice.option.exit_rate == 1.0
    control.expect_exits({})
    assert control.next(20.0, 1).cut.id != cut
    stages.close()


def test_plan_command_counts_exits(exiting: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    profile_of(exiting, 0.1).save(exiting.profiles / "edge.json")
    words = ["plan", str(exiting.path), "--bandwidth", "1mbit", "--rtt", "20ms"]
    words += ["--cloud-scale", "0.1"]
    documents = []
    for more in ([], ["--exits"], ["--exit-threshold", "0"]):
        app([*words, *more, "--json"], standalone_mode=False)
        documents.append(json.loads(capsys.readouterr().out))
    cut = first_cut(exiting)
    rates = [
        next(o["exit_rate"] for o in document["options"] if o["cut"] == cut)
        for document in documents
    ]
    assert rates == [0.0, exiting.exit_costs()[cut].rate, 1.0]
    app([*words, "--exits"], standalone_mode=False)
    assert "exit" in capsys.readouterr().out
