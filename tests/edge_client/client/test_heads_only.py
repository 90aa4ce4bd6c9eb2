"""An edge that holds heads alone: what answers while the cloud does, and what when it does not."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest
from typer.testing import CliRunner

from edge_client.cli.main import app
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.client.sync_client import EdgeClient
from edge_client.cloud.circuit_breaker import Breaker
from edge_client.control.controller import Controller, Limits
from edge_client.frames.result import Result, ServedBy
from edge_client.frames.stages import Stages
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.exits import CONFIDENCE, EXITS_FILE, BundleExits
from partitioner.bundle.head_export import export_heads
from partitioner.network.link import Link
from partitioner.planning.option import LastResort
from partitioner.planning.plan import Plan, plan
from partitioner.policy.policy import contenders, decide
from partitioner.policy.settings import PolicySettings
from partitioner.runtime.sessions import RuntimeOptions
from protos.errors import BundleError, UnreachableError, UsageError
from protos.tensors import Array
from tests.kit.clients import look_again
from tests.kit.cloud_calls import TIMEOUT_S, outputs_of
from tests.kit.exit_models import colours
from tests.kit.fake_cloud import FakeCloud, answering, silence
from tests.kit.frames import assert_same, whole
from tests.kit.local_calls import refusal, request_of, serving
from tests.kit.plans import option, plan_of, seen
from tests.kit.profiles import profile_of, profile_of_heads

FRAMES, LABELS = colours(12, seed=3)


@pytest.fixture
def held(exiting: Bundle, tmp_path: Path) -> Bundle:
    """All heads and exits of the classifier."""
    return export_heads(exiting, tmp_path / "held")


def exit_cuts(bundle: Bundle) -> list[str]:
    return [cut for cut in bundle.cuts if cut in bundle.known_exits().exits]


def best_exit(bundle: Bundle) -> str:
    """The cut whose exit has named the whole model's class most often."""
    exits = bundle.known_exits().exits
    return max(exit_cuts(bundle), key=lambda cut: float(np.mean(exits[cut].outcomes.agrees)))


def without_exits(bundle: Bundle, *cuts: str) -> Bundle:
    found = bundle.known_exits()
    kept = {cut: exit_ for cut, exit_ in found.exits.items() if cut not in cuts}
    metas = tuple(exit_.meta for exit_ in kept.values())
    BundleExits(found.meta.model_copy(update={"exits": metas}), kept).save(bundle.path)
    return Bundle.load(bundle.path)


def answer_of_exit(bundle: Bundle, cut: str, frame: Array) -> tuple[dict[str, Array], float]:
    """What the sessions of head and exit say by themselves: the oracle."""
    values = bundle.open_exit(cut).run(bundle.open_head(cut).run({"x": frame[None]}))
    confidence = float(values.pop(CONFIDENCE)[0])
    return values, confidence


def assert_from_exit(result: Result, bundle: Bundle, cut: str, frame: Array) -> None:
    outputs, confidence = answer_of_exit(bundle, cut, frame)
    assert result.served_by is ServedBy.EXIT
    assert result.cut == cut
    assert result.error is None
    assert_same(result.outputs, outputs)
    assert (
        f"Taken from the exit, as no tail is here, with confidence {confidence:.3f}"
        in result.reason
    )


async def test_cloud_finishes_what_heads_began(exiting: Bundle, held: Bundle) -> None:
    for cut in held.cuts:
        async with FakeCloud(exiting) as cloud, AsyncEdgeClient(cloud.address, held, cut) as client:
            result = await client.infer(FRAMES[:2])
        assert result.served_by is ServedBy.CLOUD
        assert_same(result.outputs, whole(exiting, {"x": FRAMES[:2]}))


async def test_frames_that_the_cloud_fails_get_the_exits_answer_however_unsure(
    exiting: Bundle, held: Bundle
) -> None:
    cut = exit_cuts(held)[0]
    failing = answering(grpc.StatusCode.INTERNAL, "it broke")
    async with (
        FakeCloud(exiting, failing) as cloud,
        AsyncEdgeClient(cloud.address, held, cut) as client,
    ):
        results = [r async for r in client.stream({"x": f[None]} for f in FRAMES)]
        loaded = set(client._runner.stages._stages)
        fallbacks = dict(client.fallbacks)
    assert [result.frame for result in results] == list(range(len(FRAMES)))
    for result, frame in zip(results, FRAMES, strict=True):
        assert_from_exit(result, held, cut, frame)
        assert result.reason.startswith("cloud failed: it broke")
        assert result.fallback == "cloud failed"
    assert sum(fallbacks.values()) == len(FRAMES)
    assert loaded == {("head", cut), ("exit", cut)}


async def test_without_an_exit_every_frame_has_a_result_that_says_why(
    exiting: Bundle, held: Bundle
) -> None:
    cut, *others = exit_cuts(held)
    poor = without_exits(held, cut)
    failing = answering(grpc.StatusCode.INTERNAL, "it broke")
    async with (
        FakeCloud(exiting, failing) as cloud,
        AsyncEdgeClient(cloud.address, poor, cut) as client,
    ):
        results = [r async for r in client.stream({"x": f[None]} for f in FRAMES)]
    assert [result.frame for result in results] == list(range(len(FRAMES)))
    for result in results:
        assert result.served_by is ServedBy.NONE
        assert result.fallback == "cloud failed"
        assert result.missed is None
        assert type(result.error).__name__ == "FaultError"
        assert "cloud failed: it broke" in result.reason
        assert f"only heads of {poor.name}, and no exit at {cut}" in result.reason
        other = f"Use a cut with one ({', '.join(others)})" if others else "Train some"
        assert other in result.reason


async def test_silent_cloud_leaves_the_exits_answer_at_the_deadline(
    exiting: Bundle, held: Bundle
) -> None:
    cut = exit_cuts(held)[0]
    async with (
        FakeCloud(exiting, silence) as cloud,
        AsyncEdgeClient(cloud.address, held, cut, deadline_s=0.3) as client,
    ):
        result = await client.infer(FRAMES[0])
        assert_from_exit(result, held, cut, FRAMES[0])
        assert result.reason.startswith("cloud too slow")
        poor = without_exits(held, *exit_cuts(held))
        async with AsyncEdgeClient(cloud.address, poor, cut, deadline_s=0.3) as other:
            late = await other.infer(FRAMES[0])
    assert late.served_by is ServedBy.NONE
    assert late.missed is not None
    assert late.missed.needed_s is None
    assert "Train some (splitpoint exits train), and fetch them" in late.reason


async def test_start_without_a_cloud_goes_to_the_best_exit_until_it_comes(
    exiting: Bundle, held: Bundle
) -> None:
    cloud = FakeCloud(exiting)
    async with cloud:
        address = cloud.address
    async with AsyncEdgeClient(address, held) as client:
        assert client.choice.cut.id == best_exit(held)
        for frame in FRAMES[:3]:
            assert_from_exit(await client.infer(frame), held, best_exit(held), frame)
        async with FakeCloud(exiting, port=int(address.split(":")[1])):
            client._meeting._planned = True  # this cloud cannot be profiled
            await look_again(client)
            result = await client.infer(FRAMES[0])
    assert result.served_by is ServedBy.CLOUD
    assert_same(result.outputs, whole(exiting, {"x": FRAMES[:1]}))


async def test_start_without_a_cloud_and_with_profiles_follows_the_plan_to_the_best_exit(
    exiting: Bundle, held: Bundle, nobody: str
) -> None:
    profile_of_heads(profile_of(exiting, 0.02), held).save(held.profiles / "edge.json")
    profile_of(exiting, 0.001).save(held.profiles / "cloud.json")
    async with AsyncEdgeClient(nobody, held, link=Link(1e9, 1e9, 0.001)) as client:
        assert client.control.adapts
        for frame in FRAMES[:3]:
            assert_from_exit(await client.infer(frame), held, best_exit(held), frame)
    bare = without_exits(held, *exit_cuts(held))
    async with AsyncEdgeClient(nobody, bare, link=Link(1e9, 1e9, 0.001)) as client:
        result = await client.infer(FRAMES[0])
    assert isinstance(result.error, UnreachableError)
    assert "nothing here can answer" in result.reason


def test_start_without_a_cloud_and_without_exits_still_gives_results(
    held: Bundle, nobody: str
) -> None:
    bare = without_exits(held, *exit_cuts(held))
    with EdgeClient(nobody, bare) as client:
        assert client.choice.cut.id == "cloud"
        results = list(client.stream(FRAMES[:3]))
    assert [result.served_by for result in results] == [ServedBy.NONE] * 3
    with pytest.raises(UnreachableError, match="no cloud server answers"):
        EdgeClient(nobody, bare, on_failure="fail")


def test_cut_edge_and_a_client_without_a_server_are_refused_with_what_there_is(
    held: Bundle, nobody: str
) -> None:
    cuts = ", ".join(held.cuts)
    for cloud in (None, nobody):
        with pytest.raises(
            BundleError, match=f"holds only heads of m.*Use one of: {cuts}, or fetch"
        ):
            AsyncEdgeClient(cloud, held, "edge")
    with pytest.raises(UsageError, match=r"needs a server\. Give cloud=HOST:PORT\.$"):
        AsyncEdgeClient(None, held, held.manifest.cuts[0].id)
    client = AsyncEdgeClient(nobody, held, held.manifest.cuts[0].id)
    with pytest.raises(BundleError, match="holds only heads"):
        client.set_option("edge")


def test_exits_of_another_model_are_refused_when_the_client_is_made(
    exiting: Bundle, residual_bundle: Bundle, nobody: str, tmp_path: Path
) -> None:
    shutil.copytree(residual_bundle.path, tmp_path / "other")
    shutil.copyfile(exiting.path / EXITS_FILE, tmp_path / "other" / EXITS_FILE)
    with pytest.raises(BundleError, match=r"exits\.npz holds the exits of another model.*remove"):
        AsyncEdgeClient(nobody, tmp_path / "other", "cut-01")


def test_tails_are_neither_rehearsed_nor_loaded_ahead(held: Bundle, exiting: Bundle) -> None:
    cut = exit_cuts(held)[0]
    stages = Stages(held, RuntimeOptions())
    stages.know(profile_of(exiting, 0.02))  # of a time when the whole bundle was here
    stages.rehearse_tail(cut)
    stages.prefetch("tail", cut)
    assert stages.tail_s(cut) is None
    assert stages._loader is None
    assert not stages.is_loaded("tail", cut)


async def test_programs_on_the_device_get_the_exits_answer_or_an_error(
    held: Bundle, nobody: str
) -> None:
    cut = exit_cuts(held)[0]
    request = request_of(held, {"x": FRAMES[:1]})
    async with serving(held, nobody, cut) as (stub, _):
        answer = await stub.ModelInfer(request, timeout=TIMEOUT_S)
    assert answer.parameters["served_by"].string_param == "exit"
    assert_same(outputs_of(answer), answer_of_exit(held, cut, FRAMES[0])[0])
    bare = without_exits(held, *exit_cuts(held))
    async with serving(bare, nobody, cut) as (stub, _):
        code, sentence = await refusal(stub.ModelInfer(request, timeout=TIMEOUT_S))
    assert code == "UNAVAILABLE"
    assert "nothing here can answer" in sentence


def test_run_without_a_cloud_writes_a_record_for_every_frame(
    held: Bundle, nobody: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "frames.npy", FRAMES)
    words = ["run", "--cloud", nobody, "--bundle", str(held.path), "--json"]
    words += ["--source", str(tmp_path / "frames.npy")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["frame"] for record in records[:-1]] == list(range(len(FRAMES)))
    assert {record["served_by"] for record in records[:-1]} == {"exit"}
    assert records[-1]["summary"]["fallbacks"] == {"cloud unreachable": len(FRAMES)}
    assert "frames get the exit's answer, or none" in " ".join(result.stderr.split())


# The policy -----------------------------------------------------------------------------------------

EARLY = replace(option("cut-01", 0.010, 10_000, 0.020), last_resort=LastResort(0.80, 0.002))
LATE = replace(option("cut-05", 0.040, 5_000, 0.010), last_resort=LastResort(0.95, 0.004))
BARE = option("cut-03", 0.020, 200, 0.015)


def away(plan_: Plan, **settings: float) -> tuple[str, float]:
    found = decide(plan_, seen(1.0, cloud_reachable=False), None, 0.0, PolicySettings(**settings))
    return found.option.cut, found.expected_s


def test_without_a_cloud_the_policy_takes_the_exit_that_is_right_most_often() -> None:
    heads = plan_of(BARE, EARLY, LATE)
    assert away(heads) == ("cut-05", pytest.approx(0.044))  # 40 ms of head, 4 of exit
    # Of those within 20 ms there is one: 10 ms of head, 2 of exit. Of those within 5 ms none.
    assert away(heads, deadline_s=0.020) == ("cut-01", pytest.approx(0.012))
    assert away(heads, deadline_s=0.005) == ("cut-01", pytest.approx(0.012))
    assert (
        away(plan_of(BARE))[0] == "cut-03"
    )  # nothing answers; it stays where the cloud is asked best


def test_policy_says_that_only_exits_remain_and_comes_back() -> None:
    heads = plan_of(BARE, EARLY, LATE)
    near = seen(1000.0)
    first = decide(heads, near, None, 0.0)
    assert first.option is not LATE
    gone = decide(heads, seen(1000.0, cloud_reachable=False), first, 1.0)
    assert gone.option is LATE
    assert gone.reason == "the cloud is away; only exits remain, and that of cut-05 is the best"
    still = decide(heads, seen(1000.0, cloud_reachable=False), gone, 2.0)
    assert (still.option, still.reason) == (gone.option, gone.reason)
    back = decide(heads, near, still, 3.0)
    assert back.option is first.option
    assert back.reason.startswith("the cloud is back")


def test_deadline_that_nothing_meets_with_the_cloud_leaves_the_exit() -> None:
    slow = seen(0.1)  # 0.1 Mbit/s: even 200 bytes take 16 ms, beside 10 of round trip
    found = decide(plan_of(BARE, EARLY, LATE), slow, None, 0.0, PolicySettings(deadline_s=0.045))
    assert (found.option, found.meets_deadline) == (LATE, False)


def test_option_with_the_best_exit_stays_in_the_plan_though_another_is_cheaper() -> None:
    cheaper = option("cut-06", 0.030, 4_000, 0.009)
    assert LATE in contenders([BARE, EARLY, LATE, cheaper])
    bare = replace(LATE, last_resort=None)
    assert bare not in contenders([BARE, EARLY, bare, cheaper])


def test_head_of_the_best_exit_is_loaded_ahead(exiting: Bundle, held: Bundle) -> None:
    edge, cloud = profile_of_heads(profile_of(exiting, 0.02), held), profile_of(exiting, 0.001)
    made = plan(held, Link(1e9, 1e9, 0.001), edge, cloud)
    stages = Stages(held, RuntimeOptions())
    asked: list[tuple[str, str]] = []
    stages.prefetch = lambda side, cut: asked.append((side, cut))  # type: ignore[method-assign]
    Controller(held, stages, Breaker(), PolicySettings()).follow(made, made.best, "test", Limits())
    assert ("head", best_exit(held)) in asked
