"""The updater against a host of its own: what is kept, what is left, and what is not tried again."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge_client.updates.offer import VersionOffer
from edge_client.updates.shelf import VersionShelf
from edge_client.updates.trial import VersionTally
from edge_client.updates.update_state import Phase, UpdateState
from edge_client.updates.updater import Mode, Updater
from partitioner.bundle.manifest import MANIFEST_FILE
from protos.errors import (
    BundleError,
    FaultError,
    FileError,
    MismatchError,
    SignatureError,
    UnreachableError,
)
from tests.kit.waiting import PATIENCE_S, eventually

OLD, NEW, OTHER = "a" * 64, "b" * 64, "c" * 64


class Version:
    def __init__(self, digest: str) -> None:
        self.bundle: Any = SimpleNamespace(version_digest=digest, path=Path(digest))
        self.tally = VersionTally()
        self.closed = False

    def serve(self, frames: int) -> None:
        for _ in range(frames):
            self.tally._frames += 1
        self.tally._tell()

    async def close(self) -> None:
        self.closed = True


class Edge:
    """A host whose versions are names, with a shelf on a real disk."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.shelf = VersionShelf(folder / "net.bundle")
        self.shelf.bundle.mkdir(exist_ok=True)
        (self.shelf.bundle / MANIFEST_FILE).write_text(OLD)
        self.version = Version(OLD)
        self.fetched: list[str] = []
        self.states: list[UpdateState] = []
        self.prepare: Callable[[str], None] = lambda _digest: None
        self.check: Callable[[str], None] = lambda _digest: None
        self.fetch: Callable[[str], None] = lambda _digest: None
        self.made: list[Version] = []
        self.updater = Updater[Version](
            self, self.shelf, self.download, self.load, sleep=self.wait, **options
        )
        self.updater.on_state.add(self.states.append)
        self.waited: list[float] = []

    async def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        await asyncio.sleep(0)

    async def download(self, offer: VersionOffer) -> None:
        self.fetch(offer.version_digest)
        self.fetched.append(offer.version_digest)
        parts = self.shelf.parts(offer.version_digest)
        parts.mkdir(parents=True)
        (parts / MANIFEST_FILE).write_text(offer.version_digest)
        self.shelf.complete(offer.version_digest)

    def load(self, offer: VersionOffer) -> Any:
        return Version(offer.version_digest).bundle

    async def prepare_version(self, bundle: Any, /) -> Version:
        self.prepare(bundle.version_digest)
        self.made.append(Version(bundle.version_digest))
        return self.made[-1]

    async def check_version(self, candidate: Version, /) -> None:
        self.check(candidate.bundle.version_digest)

    async def swap_to(self, candidate: Version, /) -> Version:
        before, self.version = self.version, candidate
        return before

    async def settled(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.updater.settled()

    async def until(self, phase: Phase, digest: str = "") -> None:
        """Let the updater work until it is there."""
        await eventually(lambda: self._is_at(phase, digest))
        await asyncio.sleep(0)

    def _is_at(self, phase: Phase, digest: str) -> bool:
        state = self.updater.state
        return state.phase is phase and digest in ("", state.version_digest)

    @property
    def kept(self) -> str:
        return (self.shelf.bundle / MANIFEST_FILE).read_text()


def offer(digest: str) -> VersionOffer:
    return VersionOffer("net", digest, digest)


@pytest.fixture
def edge(tmp_path: Path) -> Edge:
    return Edge(tmp_path, trial_frames=5)


async def test_version_that_serves_its_frames_is_kept_and_the_one_before_let_go(edge: Edge) -> None:
    old = edge.version
    await edge.updater.take(offer(NEW))
    await edge.until(Phase.TRIAL)
    assert (edge.kept, old.closed) == (OLD, False)
    edge.version.serve(4)
    assert edge.updater.state.phase is Phase.TRIAL
    edge.version.serve(1)
    await edge.settled()
    assert (edge.version.bundle.version_digest, edge.kept, old.closed) == (NEW, NEW, True)
    phases = [state.phase for state in edge.states]
    assert phases == [Phase.FETCHING, Phase.CHECKING, Phase.TRIAL, Phase.IDLE]


async def test_version_that_fails_its_frames_is_left_and_not_tried_until_another_is_offered(
    edge: Edge,
) -> None:
    old = edge.version
    await edge.updater.take(offer(NEW))
    await edge.until(Phase.TRIAL)
    bad = edge.version
    for _ in range(2):
        bad.tally.failed(FaultError("it broke."))
    await edge.settled()
    assert (edge.version, edge.kept, bad.closed, old.closed) == (old, OLD, True, False)
    assert edge.updater.state.phase is Phase.REFUSED
    assert "it broke." in edge.updater.state.reason
    await edge.updater.take(offer(OLD))
    await edge.updater.take(offer(NEW))
    await edge.settled()
    assert (edge.fetched, edge.updater.state.phase) == ([NEW], Phase.REFUSED)
    await edge.updater.take(offer(OTHER))
    await edge.until(Phase.TRIAL)
    assert edge.version.bundle.version_digest == OTHER
    await edge.updater.close()


@pytest.mark.parametrize("step", ["prepare", "check"])
async def test_version_that_does_not_load_or_differs_never_serves_a_frame(
    edge: Edge, step: str
) -> None:
    def fail(_digest: str) -> None:
        raise BundleError("head + tail is not the whole.")

    setattr(edge, step, fail)
    old = edge.version
    await edge.updater.take(offer(NEW))
    await edge.settled()
    assert edge.version is old
    assert edge.updater.state == UpdateState(Phase.REFUSED, NEW, "head + tail is not the whole.", 1)
    await edge.updater.take(offer(OLD))  # it is rolled back, and the refusal is still told
    await edge.settled()
    assert (edge.updater.state.phase, edge.updater.state.refusals) == (Phase.IDLE, 1)
    assert all(version.closed for version in edge.made)


async def test_link_that_breaks_is_tried_again_and_refuses_nothing(edge: Edge) -> None:
    failures = [UnreachableError("gone."), UnreachableError("gone.")]

    def fail(_digest: str) -> None:
        if failures:
            raise failures.pop()

    edge.fetch = fail
    await edge.updater.take(offer(NEW))
    await edge.until(Phase.TRIAL)
    assert edge.waited == [1.0, 2.0]
    await edge.updater.close()


@pytest.mark.parametrize(("faults", "phase"), [(1, Phase.TRIAL), (2, Phase.REFUSED)])
async def test_answer_that_was_damaged_on_its_way_refuses_no_version_unless_it_is_so_again(
    edge: Edge, faults: int, phase: Phase
) -> None:
    failures = [FaultError("it makes no sense.")] * faults

    def fail(_digest: str) -> None:
        if failures:
            raise failures.pop()

    edge.check = fail
    await edge.updater.take(offer(NEW))
    await edge.until(phase)
    await edge.updater.close()


async def test_cloud_that_takes_its_offer_back_ends_the_trial_at_once(edge: Edge) -> None:
    old = edge.version
    await edge.updater.take(offer(NEW))
    await edge.until(Phase.TRIAL)
    await edge.updater.take(offer(OLD))
    await edge.settled()
    assert (edge.version, edge.kept) == (old, OLD)
    assert edge.shelf.state.trying == ""
    await edge.updater.take(offer(NEW))  # it was not refused
    await edge.until(Phase.TRIAL)
    assert edge.fetched == [NEW]
    await edge.updater.close()


async def test_third_version_takes_the_place_of_one_on_trial_and_the_proven_one_stays(
    edge: Edge,
) -> None:
    old = edge.version
    await edge.updater.take(offer(NEW))
    await edge.until(Phase.TRIAL)
    second = edge.version
    await edge.updater.take(offer(OTHER))
    await edge.until(Phase.TRIAL, OTHER)
    assert (second.closed, old.closed) == (True, False)
    for _ in range(2):
        edge.version.tally.failed(FaultError("it broke."))
    await edge.settled()
    assert edge.version is old


async def test_held_version_is_fetched_and_checked_and_serves_with_the_next_start(
    tmp_path: Path,
) -> None:
    mode: Mode = "hold"
    edge = Edge(tmp_path, mode=mode)
    await edge.updater.take(offer(NEW))
    await edge.until(Phase.HELD)
    assert (edge.version.bundle.version_digest, edge.fetched) == (OLD, [NEW])
    again = Edge(tmp_path, trial_frames=1)
    await again.updater.take(offer(NEW))
    await again.until(Phase.TRIAL)
    assert again.fetched == []
    await again.updater.close()


async def test_version_that_ends_the_device_twice_is_not_tried_a_third_time(
    tmp_path: Path,
) -> None:
    for _ in range(2):
        edge = Edge(tmp_path)
        await edge.updater.take(offer(NEW))
        await edge.until(Phase.TRIAL)
        await edge.updater._stop_following()  # and no word more: the device is gone
    edge = Edge(tmp_path)
    await edge.updater.take(offer(NEW))
    await edge.settled()
    assert edge.version.bundle.version_digest == OLD
    assert edge.updater.state.phase is Phase.REFUSED
    assert "ended twice" in edge.updater.state.reason


async def test_end_in_good_order_while_a_version_is_on_trial_counts_for_nothing(
    tmp_path: Path,
) -> None:
    for _ in range(3):
        edge = Edge(tmp_path)
        await edge.updater.take(offer(NEW))
        await edge.until(Phase.TRIAL)
        await edge.updater.close()
    assert edge.shelf.state.starts == 0


async def test_hold_of_the_cloud_stops_a_download_and_keeps_a_trial(edge: Edge) -> None:
    entered = asyncio.Event()
    never = asyncio.Event()

    async def stuck(_offer: VersionOffer) -> None:
        entered.set()
        await never.wait()

    download, edge.updater._download = edge.updater._download, stuck
    await edge.updater.take(offer(NEW))
    await entered.wait()
    await edge.updater.take(None)
    assert edge.updater.state.phase is Phase.IDLE
    edge.updater._download = download
    await edge.updater.take(offer(NEW))
    await edge.until(Phase.TRIAL)
    await edge.updater.take(None)
    assert edge.updater.state.phase is Phase.TRIAL
    edge.version.serve(5)
    await edge.settled()
    assert edge.kept == NEW


async def test_version_on_trial_that_is_no_longer_offered_is_left_whatever_comes_of_the_next(
    edge: Edge,
) -> None:
    old = edge.version
    await edge.updater.take(offer(NEW))
    await edge.until(Phase.TRIAL)
    second = edge.version

    def fail(_digest: str) -> None:
        raise BundleError("it is damaged.")

    edge.check = fail
    await edge.updater.take(offer(OTHER))
    await edge.settled()
    assert (edge.version, second.closed, old.closed) == (old, True, False)
    assert edge.updater.state.phase is Phase.REFUSED


async def test_hold_of_the_cloud_keeps_a_version_that_was_postponed_from_another_trial(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, never = asyncio.Event(), asyncio.Event()

    async def wait(_seconds: float) -> None:
        waits.set()
        await never.wait()

    monkeypatch.setattr(edge.updater, "_sleep", wait)
    await edge.updater.take(offer(NEW))
    await edge.until(Phase.TRIAL)
    for _ in range(2):
        edge.version.tally.failed(MismatchError("another version."))
    await waits.wait()
    assert edge.updater.state.phase is Phase.POSTPONED  # it runs the one before
    assert not edge.updater._following.done()  # type: ignore[union-attr]
    await edge.updater.take(None)
    assert edge.updater._following is None
    await edge.updater.take(offer(NEW))
    await edge.until(Phase.TRIAL)
    await edge.updater.close()


async def test_client_that_closes_in_the_middle_of_a_swap_lets_go_of_both_versions(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, swaps, goes_on = edge.version, asyncio.Event(), asyncio.Event()
    swap = edge.swap_to

    async def slow(candidate: Version, /) -> Version:
        before = await swap(candidate)
        swaps.set()
        await goes_on.wait()
        return before

    monkeypatch.setattr(edge, "swap_to", slow)
    await edge.updater.take(offer(NEW))
    await swaps.wait()
    closing = asyncio.create_task(edge.updater.close())
    await asyncio.sleep(0)
    goes_on.set()
    await closing
    assert (old.closed, edge.shelf.state.trying) == (True, "")


async def test_disk_that_refuses_does_not_let_a_bad_version_be_tried_again(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = edge.version
    await edge.updater.take(offer(NEW))
    await edge.until(Phase.TRIAL)

    def full(*_: object) -> None:
        raise FileError("No space left on device.")

    monkeypatch.setattr(edge.shelf, "keep", full)
    for _ in range(2):
        edge.version.tally.failed(FaultError("it broke."))
    await edge.settled()
    assert (edge.version, len(edge.made)) == (old, 1)
    assert edge.updater.state.phase is Phase.REFUSED


async def test_offer_that_is_made_anew_is_tried_again_by_who_lacked_a_permission(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    async def lacking(_offer: VersionOffer) -> None:
        tried.append(_offer.mark)
        raise SignatureError("it goes back with a signed permission alone.")

    monkeypatch.setattr(edge.updater, "_reach", lacking)
    for mark in ("0/none", "0/none", "1/none", "1/0f933be631c5"):
        await edge.updater.take(replace(offer(NEW), mark=mark))
        await edge.settled()
    assert tried == ["0/none", "1/none", "1/0f933be631c5"]
    assert edge.updater.state.phase is Phase.REFUSED
