"""A running client goes from one version of its bundle to another between two frames, and back."""

import asyncio
import gc
import math
import shutil
import weakref
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from time import perf_counter

import pytest

from cloud_server.server import CloudServer
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.client.sync_client import EdgeClient
from edge_client.frames.choice import choose
from edge_client.frames.outcome import served_by_none
from edge_client.frames.prepared_frame import PreparedFrame
from edge_client.frames.result import Result, ServedBy
from partitioner.bundle.bundle import Bundle
from partitioner.estimators.circuit_breaker import Circuit
from partitioner.profiles.carried import carry_profiles
from partitioner.profiles.profile import Profile
from partitioner.profiles.store import EDGE_PROFILE, kept_profile, save_profile
from protos.errors import FaultError, MismatchError, UnknownNameError, UsageError
from protos.names import EDGE
from tests.kit.clients import breaker_of, lose_cloud
from tests.kit.frames import assert_same, frames, whole
from tests.kit.profiles import profile_of
from tests.kit.versions import make_version, two_versions


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    old, new = two_versions(tmp_path_factory.mktemp("versions"))
    return Bundle.load(old), Bundle.load(new)


def assert_of_one_version(results: list[Result], inputs: list[object], *known: Bundle) -> None:
    """Each result is that of the whole model of the version that it names."""
    by_digest = {bundle.version_digest: bundle for bundle in known}
    for number, (result, one) in enumerate(zip(results, inputs, strict=True)):
        assert result.frame == number
        assert_same(result.outputs, whole(by_digest[result.version_digest], one))  # type: ignore[arg-type]


async def test_frames_in_flight_finish_on_the_version_on_which_they_began(
    versions: tuple[Bundle, Bundle],
) -> None:
    old, new = versions
    inputs = frames(old, 12)
    async with AsyncEdgeClient(None, old, EDGE, window=4) as client:

        async def source() -> AsyncIterator[object]:
            for number, one in enumerate(inputs):
                if number == 4:
                    before = await client.swap_to(await client.prepare_version(new))
                if number == 8:
                    await client.swap_to(before)
                yield one

        results = [result async for result in client.stream(source())]  # type: ignore[arg-type]
    assert_of_one_version(results, list(inputs), old, new)
    served = [result.version_digest for result in results]
    assert served == [old.version_digest] * 4 + [new.version_digest] * 4 + [old.version_digest] * 4


async def test_frame_that_the_cloud_fails_is_finished_by_the_version_of_its_head(
    versions: tuple[Bundle, Bundle], nobody: str
) -> None:
    old, new = versions
    inputs = frames(old, 2)
    async with AsyncEdgeClient(None, old, EDGE) as client:
        made = await client.prepare_version(new)
        work = client.pipeline.prepare(inputs[0], 0.0)
        pipeline = client.pipeline
        await client.swap_to(made)
        first, second = await pipeline.complete(work), await client.infer(inputs[1])
    assert_of_one_version([first, second], list(inputs), old, new)
    assert (first.version_digest, second.version_digest) == (old.version_digest, new.version_digest)
    async with AsyncEdgeClient(nobody, old, "cut-02") as client:
        result = await client.infer(inputs[0])
        assert (result.served_by, result.version_digest) == (ServedBy.EDGE, old.version_digest)


def test_caller_with_threads_of_its_own_never_gets_a_mixture(
    versions: tuple[Bundle, Bundle],
) -> None:
    old, new = versions
    (inputs,) = frames(old, 1)
    with EdgeClient(None, old, EDGE) as client:
        edge = client.asynchronous
        assert client.infer(inputs).version_digest == old.version_digest
        client.run(edge.swap_to(client.run(edge.prepare_version(new))))
        result = client.infer(inputs)
        assert (client.bundle, result.version_digest) == (new, new.version_digest)
        assert_same(result.outputs, whole(new, inputs))


async def test_cut_that_the_caller_has_moved_stays_where_it_is(
    versions: tuple[Bundle, Bundle], residual_bundle: Bundle
) -> None:
    old, new = versions
    async with AsyncEdgeClient(None, old, EDGE) as client:
        client.set_option(EDGE, reason="told so")
        await client.swap_to(await client.prepare_version(new))
        assert (client.choice.cut.id, client.choice.reason) == (EDGE, "told so")


async def test_swap_during_an_outage_has_a_probe_find_out_at_once_whether_it_is_over(
    versions: tuple[Bundle, Bundle], tmp_path: Path
) -> None:
    """No frame has to: it would wait for the time-out."""
    for bundle in versions:
        shutil.copytree(bundle.path, tmp_path / bundle.version_digest)
    (inputs,) = frames(versions[0], 1)
    async with (
        CloudServer(tmp_path) as server,
        AsyncEdgeClient(server.address, versions[0], "cut-02") as client,
    ):
        made = await client.prepare_version(versions[1])
        lose_cloud(client, math.inf)  # by itself it would never be probed
        await client.swap_to(made)
        breaker = breaker_of(client)
        assert breaker.circuit is Circuit.OPEN
        assert breaker.is_due(perf_counter())
        while (await client.infer(inputs)).served_by is not ServedBy.CLOUD:
            pass


def move_to(client: AsyncEdgeClient, cut: str, reason: str) -> None:
    """Move the cut as its caller does; without a server, where a client has no other cut than `edge`."""
    client.version.session.overrule(choose(client.bundle, cut, None, reason))


async def test_cut_that_the_caller_moves_while_a_version_is_prepared_or_tried_stays_there(
    versions: tuple[Bundle, Bundle],
) -> None:
    old, new = versions
    async with AsyncEdgeClient(None, old, EDGE) as client:
        made = await client.prepare_version(new)
        move_to(client, "cut-02", "told so")
        before = await client.swap_to(made)
        assert (client.choice.cut.id, client.choice.reason) == ("cut-02", "told so")
        move_to(client, "cut-03", "told again")
        await client.swap_to(before)
        assert (client.choice.cut.id, client.choice.reason) == ("cut-03", "told again")


async def test_cut_that_the_version_before_lacks_does_not_keep_a_client_from_coming_back(
    versions: tuple[Bundle, Bundle],
) -> None:
    old, new = versions[0].only(["cut-02"]), versions[1]
    async with AsyncEdgeClient(None, old, EDGE) as client:
        before = await client.swap_to(await client.prepare_version(new))
        move_to(client, "cut-03", "told so")
        await client.swap_to(before)
        assert (client.bundle, client.choice.cut.id) == (old, EDGE)


async def test_version_that_cannot_take_the_place_is_refused_and_changes_nothing(
    versions: tuple[Bundle, Bundle],
) -> None:
    old, new = versions
    without = new.only(())
    async with AsyncEdgeClient(None, old, EDGE) as client:
        client.version.session.overrule(choose(old, "cut-02", None, "told so"))
        with pytest.raises(UnknownNameError, match="has no cut"):
            await client.prepare_version(without)
        assert client.bundle is old
        fewer = old.manifest.model_copy(update={"outputs": old.outputs * 2})
        with pytest.raises(UsageError, match="a name of its own"):
            await client.prepare_version(Bundle(old.path, fewer, contents=old.contents))
        assert client.bundle is old


def test_profile_holds_for_other_weights_of_the_same_graph(
    tmp_path: Path, residual_bundle: Bundle
) -> None:
    old, new = map(Bundle.load, two_versions(tmp_path))
    save_profile(old, EDGE_PROFILE, profile_of(old, 0.02))
    assert carry_profiles(old, new) == (EDGE_PROFILE,)
    carried, known = kept_profile(new, EDGE_PROFILE), kept_profile(old, EDGE_PROFILE)
    assert carried is not None
    assert known is not None
    assert carried.cuts == known.cuts
    assert carry_profiles(old, new) == ()
    other = residual_bundle.only(["cut-02"])
    assert carry_profiles(other, new) == ()


async def test_memory_of_a_version_that_was_left_comes_back(
    versions: tuple[Bundle, Bundle],
) -> None:
    old, new = versions
    async with AsyncEdgeClient(None, old, EDGE) as client:
        before = await client.swap_to(await client.prepare_version(new))
        await before.close()
        stages = weakref.ref(before.stages)
        del before
        await asyncio.sleep(0)
        gc.collect()
        assert stages() is None


async def test_both_versions_together_stay_within_the_memory_budget(
    versions: tuple[Bundle, Bundle],
) -> None:
    old, new = versions
    (inputs,) = frames(old, 1)
    head = 10 << 20
    sized = [known_sizes(bundle, head) for bundle in versions]
    async with AsyncEdgeClient(None, old, EDGE, memory_bytes=int(1.5 * head)) as client:
        client.version.stages.know(sized[0])
        made = await client.prepare_version(new)
        made.stages.know(sized[1])
        assert not made.stages.fits_beside(client.version.stages, EDGE)
        before = await client.swap_to(made)
        assert_same((await client.infer(inputs)).outputs, whole(new, inputs))
        assert (before.stages.open_bytes, made.stages.open_bytes) == (0, head)
        await client.swap_to(before)
        assert_same((await client.infer(inputs)).outputs, whole(old, inputs))
        assert (before.stages.open_bytes, made.stages.open_bytes) == (head, 0)


def known_sizes(bundle: Bundle, head_bytes: int) -> Profile:
    """A profile in which every stage takes so much."""
    profile = profile_of(bundle, 0.02)
    cuts = {
        name: cut.model_copy(
            update={
                side: stage.model_copy(update={"memory_bytes": head_bytes})
                for side in ("head", "tail")
                if (stage := getattr(cut, side)) is not None
            }
        )
        for name, cut in profile.cuts.items()
    }
    return profile.model_copy(update={"cuts": cuts})


async def test_frame_that_fails_on_a_version_on_trial_is_served_by_the_one_before(
    versions: tuple[Bundle, Bundle],
) -> None:
    old, new = versions
    inputs = frames(old, 3)
    async with AsyncEdgeClient(None, old, EDGE) as client:
        made = await client.prepare_version(new)

        def broken(*_: object) -> None:
            raise FaultError("the head is broken.")

        made.stages.run_head = broken  # type: ignore[method-assign,assignment]
        before = await client.swap_to(made)
        results = [result async for result in client.stream(iter(inputs))]
        assert_of_one_version(results, list(inputs), old)
        assert made.tally.counts.faults == 3
        await client.swap_to(before)
        before.stages.run_head = broken  # type: ignore[method-assign,assignment]
        with pytest.raises(FaultError):  # who has come back has nobody to turn to
            await client.infer(inputs[0])


def test_caller_with_threads_of_its_own_is_served_by_the_version_before(
    versions: tuple[Bundle, Bundle],
) -> None:
    old, new = versions
    (inputs,) = frames(old, 1)
    with EdgeClient(None, old, EDGE) as client:
        edge = client.asynchronous
        made = client.run(edge.prepare_version(new))

        def broken(*_: object) -> None:
            raise FaultError("the head is broken.")

        made.stages.run_head = broken  # type: ignore[method-assign,assignment]
        before = client.run(edge.swap_to(made))
        assert_same(client.infer(inputs).outputs, whole(old, inputs))
        assert before.bundle is old


def test_caller_with_threads_gets_the_answer_of_the_version_before_for_a_frame_that_got_none(
    versions: tuple[Bundle, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = versions
    inputs = frames(old, 2)
    with EdgeClient(None, old, EDGE) as client:
        edge = client.asynchronous
        made = client.run(edge.prepare_version(new))

        async def nothing(work: PreparedFrame) -> Result:
            failed = FaultError("the cloud's answer makes no sense.")
            return served_by_none(work.frame, work.choice, work.arrived_at, failed)

        monkeypatch.setattr(made.completion, "complete", nothing)
        monkeypatch.setattr(made.runner, "prepare", partial(crossing, made.runner.prepare))
        before = client.run(edge.swap_to(made))
        results = [client.infer(one) for one in inputs]
        assert_of_one_version(results, list(inputs), before.bundle)
        assert made.tally.counts.faults == 2


def crossing(prepare: Callable[..., PreparedFrame], *arguments: object) -> PreparedFrame:
    """A frame whose head has run, and which is to be sent."""
    work = prepare(*arguments)
    work.message = b"?"
    return work


async def test_server_that_has_no_such_bundle_says_nothing_of_the_version(
    residual_address: str, tmp_path: Path
) -> None:
    """Another one of the same cloud may have it."""
    one, two = make_version(tmp_path / "1", 0), make_version(tmp_path / "2", 1)
    async with AsyncEdgeClient(residual_address, one, "cut-02") as client:
        with pytest.raises(MismatchError, match="has no bundle"):
            await client.prepare_version(two)
