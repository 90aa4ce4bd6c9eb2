"""The updater: it follows what the cloud offers, from the download to the version that stays or is left."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Generic, Literal

from edge_client.control.listeners import Listeners
from edge_client.updates.host import C, Host
from edge_client.updates.offer import VersionOffer
from edge_client.updates.shelf import VersionShelf
from edge_client.updates.trial import FAULTS_ALLOWED, Judged, Verdict, VersionTally, judge
from edge_client.updates.update_state import Phase, UpdateState
from partitioner.bundle.bundle import Bundle
from partitioner.common.units import plural
from protos.errors import (
    BundleError,
    DeniedError,
    FaultError,
    FileError,
    LateError,
    MismatchError,
    NetworkError,
    OverloadedError,
    SignatureError,
    SplitpointError,
)

Mode = Literal["auto", "hold"]

_RETRY_S, _LONGEST_S = 1.0, 300.0
_POSTPONED_S = 300.0
"""Until a version is tried again that fared worse, as the link may have."""
_PASSING = (NetworkError, OverloadedError, DeniedError, MismatchError, FileError)
"""What says nothing of a version: links, servers and disks may be well again."""

_log = logging.getLogger(__name__)


class _PostponedError(LateError):
    """A trial was ended by what may pass."""


Offers = Callable[[], AsyncIterator[VersionOffer | None]]
"""None: go on with the version in use."""
Download = Callable[[VersionOffer], Awaitable[None]]
Load = Callable[[VersionOffer], Bundle]


class Updater(Generic[C]):
    """Follows offers one at a time; a newer one takes the place of one that is being followed.

    `download` brings a version onto the shelf, `load` opens it from there and checks whose it is. `hold`:
    versions are fetched and checked, and wait for the next start. `trial_frames`: so many frames a version
    has to serve until it stays.
    """

    def __init__(
        self,
        host: Host[C],
        shelf: VersionShelf,
        download: Download,
        load: Load,
        *,
        mode: Mode = "auto",
        trial_frames: int = 50,
        on_state: Listeners[UpdateState] | None = None,
        on_kept: Callable[[Bundle], None] = lambda _bundle: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.state = UpdateState()
        self.on_state = on_state or Listeners[UpdateState]()
        """Hear of each step."""
        self._host = host
        self._shelf = shelf
        self._download = download
        self._load = load
        self._mode = mode
        self._trial_frames = trial_frames
        self._on_kept = on_kept
        self._sleep = sleep
        self._following: asyncio.Task[None] | None = None
        self._offer: VersionOffer | None = None
        self._proven: C | None = None
        self._refusals = 0

    async def run(self, offers: Offers) -> None:
        """Follow all offers until cancelled."""
        try:
            async with aclosing(offers()) as coming:  # type: ignore[type-var]
                async for offer in coming:
                    await self.take(offer)
        finally:
            await self._stop_following()

    async def take(self, offer: VersionOffer | None) -> None:
        """Follow an offer from now on, unless it is the one that is being followed.

        None: go on with the version in use; what is being fetched, or is to be tried again, is left, and a
        trial is not.
        """
        if offer is None:
            if self._is_following and self._proven is None:
                await self._stop_following()
                self._offer = None
                self._set(Phase.IDLE)
            return
        if offer.is_as(self._offer):
            return
        await self._stop_following()
        self._offer = offer
        self._following = asyncio.create_task(self._follow(offer))

    @property
    def _is_following(self) -> bool:
        return self._following is not None and not self._following.done()

    async def settled(self) -> None:
        """Wait until the offer that was taken last has come to something."""
        if self._following is not None:
            await self._following

    async def close(self) -> None:
        """Follow nothing more; a version on trial was left in good order, and is tried again another time."""
        await self._stop_following()
        if self._proven is not None:
            proven, self._proven = self._proven, None
            await proven.close()
            self._shelf.end_trial()

    async def _stop_following(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def _follow(self, offer: VersionOffer) -> None:
        """Bring an offer to an end; what may pass is tried again, and nothing here ends the frames."""
        wait_s, faults = _RETRY_S, 0
        while True:
            try:
                await self._reach(offer)
            except SplitpointError as error:
                faults += isinstance(error, FaultError)
                by_chance = isinstance(error, FaultError) and faults <= FAULTS_ALLOWED
                if not (by_chance or _may_pass(error)):
                    self._refuse(offer.version_digest, str(error))
                    if isinstance(error, SignatureError):
                        with suppress(FileError):
                            self._shelf.allow()  # a permission or a key may come, and an offer with it
                    return
                postponed = isinstance(error, _PostponedError)
                phase = Phase.POSTPONED if postponed else self.state.phase
                self._tell(phase, offer, f"{error} It is tried again.")
                wait_s = _POSTPONED_S if postponed else wait_s
            except Exception as error:  # noqa: BLE001 - whatever a version does, frames go on
                _log.exception("version %s cannot be used", offer.version_digest[:12])
                self._refuse(offer.version_digest, repr(error))
                return
            else:
                return
            await self._sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_S)

    async def _reach(self, offer: VersionOffer) -> None:
        digest = offer.version_digest
        if digest == self._host.version.bundle.version_digest:
            await self._stay(offer)
            return
        if self._proven is not None:  # nobody wants the version on trial any more
            await _whole(self._come_back("the cloud offers another version"))
            if digest == self._host.version.bundle.version_digest:
                self._tell(Phase.IDLE, offer, offer.reason)
                return
        if self._is_refused(digest):
            return
        if not self._shelf.is_ready(digest):
            self._tell(Phase.FETCHING, offer, offer.reason)
            await self._download(offer)
        self._tell(Phase.CHECKING, offer, offer.reason)
        bundle = await asyncio.to_thread(self._load, offer)
        candidate = await self._host.prepare_version(bundle)
        try:
            await self._host.check_version(candidate)
            if self._mode == "hold":
                self._tell(Phase.HELD, offer, "updates are held; it is tried with the next start")
                await candidate.close()
                return
            self._shelf.begin_trial(digest)
        except BaseException:
            await candidate.close()
            raise
        await self._try(offer, candidate)

    async def _stay(self, offer: VersionOffer) -> None:
        """Go on with the version in use, and with its trial if it is on trial."""
        if self._proven is not None:
            await self._try(offer, self._host.version)
        else:
            self._tell(Phase.IDLE, offer, offer.reason)

    def _is_refused(self, digest: str) -> bool:
        if self._shelf.crashed_with(digest):
            self._refuse(digest, "this device has ended twice, without a word, while it tried it")
            return True
        state = self._shelf.state
        if state.refused == digest:
            self._set(Phase.REFUSED, digest, state.why)
            return True
        if state.refused:
            self._shelf.allow()
        return False

    async def _try(self, offer: VersionOffer, candidate: C) -> None:
        """Serve frames by a version until it has proved itself, or has failed and is left."""
        if candidate is not self._host.version:
            await _whole(self._begin(candidate))
        proven = self._proven
        if proven is None:
            return
        self._tell(Phase.TRIAL, offer, f"it has to serve {plural(self._trial_frames, 'frame')}")
        judged = await self._verdict(candidate.tally, proven.tally)
        if judged.verdict is Verdict.POSTPONED:
            await _whole(self._come_back(judged.reason))
            raise _PostponedError(f"{judged.reason}.")
        if judged.verdict is Verdict.FAILED:
            await _whole(self._come_back(judged.reason))
            self._refuse(offer.version_digest, judged.reason)
            return
        await asyncio.to_thread(self._keep, candidate.bundle, proven.bundle)
        self._proven = None
        await proven.close()
        self._tell(Phase.IDLE, offer, judged.reason)

    async def _verdict(self, tally: VersionTally, before: VersionTally) -> Judged:
        """Wait for what the trial comes to."""
        loop, heard, was = asyncio.get_running_loop(), asyncio.Event(), before.counts
        tally.hears = lambda: _wake(loop, heard)
        try:
            while True:
                heard.clear()
                judged = judge(tally.counts, was, self._trial_frames)
                if judged.verdict is not Verdict.GOES_ON:
                    return judged
                await heard.wait()
        finally:
            tally.hears = None

    async def _begin(self, candidate: C) -> None:
        """Begin the next frame with a version that has to prove itself."""
        self._proven = await self._host.swap_to(candidate)

    async def _come_back(self, why: str) -> None:
        """Begin the next frame with the version that has proved itself."""
        proven, self._proven = self._proven, None
        if proven is None:
            return
        _log.warning("going back to version %s: %s", proven.bundle.version_digest[:12], why)
        left = await self._host.swap_to(proven)
        await left.close()
        try:
            self._shelf.end_trial()
        except FileError as error:
            _log.warning("it cannot be kept that the trial has ended: %s", error)

    def _keep(self, bundle: Bundle, before: Bundle) -> None:
        self._shelf.promote(bundle.version_digest, before.version_digest)
        bundle.path, before.path = (
            self._shelf.bundle,
            self._shelf.ready(before.version_digest),
        )
        self._on_kept(bundle)

    def _refuse(self, digest: str, why: str) -> None:
        try:
            self._shelf.refuse(digest, why)
        except FileError as error:
            _log.warning("it cannot be kept that version %s was refused: %s", digest[:12], error)
        self._refusals += 1
        self._set(Phase.REFUSED, digest, why)

    def _tell(self, phase: Phase, offer: VersionOffer, reason: str) -> None:
        self._set(phase, offer.version_digest, reason)

    def _set(self, phase: Phase, digest: str = "", reason: str = "") -> None:
        self.state = UpdateState(phase, digest, reason, self._refusals)
        self.on_state.tell(self.state)


def _may_pass(error: SplitpointError) -> bool:
    """Tell whether an error says nothing of a version: it is tried again then."""
    return isinstance(error, _PASSING) and not isinstance(error, BundleError)


async def _whole(step: Coroutine[None, None, None]) -> None:
    """Run a step to its end, also where whoever waits for it is cancelled meanwhile."""
    task = asyncio.ensure_future(step)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


def _wake(loop: asyncio.AbstractEventLoop, heard: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(heard.set)
