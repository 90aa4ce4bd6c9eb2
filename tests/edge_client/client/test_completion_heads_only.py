"""An edge that holds heads alone: what answers while the cloud does, and what when it does not."""

import shutil
from pathlib import Path

import grpc
import pytest

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.client.sync_client import EdgeClient
from edge_client.frames.result import Result, ServedBy
from edge_client.frames.stages import Stages
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.exits import EXITS_FILE
from partitioner.network.link import Link
from partitioner.runtime.sessions import RuntimeOptions
from protos.errors import BundleError, UnreachableError, UsageError
from protos.tensors import Array
from tests.kit.clients import look_again, stages_of
from tests.kit.exit_models import answer_of_exit, best_exit, colours, exit_cuts, without_exits
from tests.kit.fake_cloud import FakeCloud, answering, silence
from tests.kit.frames import assert_same, whole
from tests.kit.profiles import profile_of, profile_of_heads
from tests.kit.sockets import free_port

FRAMES, LABELS = colours(12, seed=3)


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
        loaded = set(stages_of(client)._stages)
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
        AsyncEdgeClient(cloud.address, held, cut, deadline_s=1.0) as client,
    ):
        result = await client.infer(FRAMES[0])
        assert_from_exit(result, held, cut, FRAMES[0])
        assert result.reason.startswith("cloud too slow")
        poor = without_exits(held, *exit_cuts(held))
        async with AsyncEdgeClient(cloud.address, poor, cut, deadline_s=1.0) as other:
            late = await other.infer(FRAMES[0])
    assert late.served_by is ServedBy.NONE
    assert late.missed is not None
    assert late.missed.needed_s is None
    assert "Train some (splitpoint exits train), and fetch them" in late.reason


async def test_start_without_a_cloud_goes_to_the_best_exit_until_it_comes(
    exiting: Bundle, held: Bundle
) -> None:
    port = free_port()
    async with AsyncEdgeClient(f"127.0.0.1:{port}", held) as client:
        assert client.choice.cut.id == best_exit(held)
        for frame in FRAMES[:3]:
            assert_from_exit(await client.infer(frame), held, best_exit(held), frame)
        async with FakeCloud(exiting, port=port):
            client.version.session._planned = True  # this cloud cannot be profiled
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
    with pytest.raises(UsageError, match=r"needs a server\. Give `cloud` HOST:PORT\.$"):
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
    assert stages._opener is None
    assert not stages.is_open("tail", cut)
