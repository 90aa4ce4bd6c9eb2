"""From a frame's head to its result: through the cloud, or without it, and in time either way.

A fallback is a value: whatever happens to the cloud, the frame goes on from the frontier that exists.
Where the rest of the model fits into what is left of the deadline it is computed here; otherwise the
exit's answer is taken, and without an exit the frame's result says that nobody served it, and why. A device
that holds heads only has nothing but exits.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from time import perf_counter

from edge_client.cloud.circuit_breaker import Breaker, Circuit
from edge_client.cloud.stream import GrpcTransport
from edge_client.control.controller import Controller
from edge_client.defaults import OnFailure
from edge_client.frames.compute_thread import ComputeThread
from edge_client.frames.failure import kind_of
from edge_client.frames.result import Missed, Result
from edge_client.frames.runner import FrameRunner, PreparedFrame
from partitioner.common.units import format_duration
from protos.codecs.registry import is_calibrated
from protos.errors import LateError, MismatchError, SplitpointError, UnreachableError

_SPARE_S = 0.002
"""Kept of every deadline for what is neither cloud nor tail: waking, gathering, handing over."""
_SPARE = 0.2
"""And this share of a tail's usual time, since it varies."""
GRACE = 0.05
"""Of a deadline: so late may a computation that is nearly done be, rather than be for nothing."""

Greet = Callable[[], Awaitable[None]]


class FrameCompletion:
    """Brings prepared frames to their results. Used in one event loop."""

    def __init__(
        self,
        runner: FrameRunner,
        device: ComputeThread,
        breaker: Breaker,
        controller: Controller,
        *,
        on_failure: OnFailure,
        greet: Greet,
    ) -> None:
        self.transport: GrpcTransport | None = None
        self.timeout_s = math.inf
        self.fallbacks: Counter[str] = Counter()
        """Frames that the cloud was meant to serve and did not, by what it failed with."""
        self._runner = runner
        self._device = device
        self._breaker = breaker
        self._controller = controller
        self._on_failure = on_failure
        self._greet = greet

    async def complete(self, work: PreparedFrame) -> Result:
        """Return the frame's result; raises only with on_failure="fail", what the cloud failed with."""
        if work.message is None or self.transport is None:
            return self._runner.finished_here(work)
        distrusts = self._controller.distrusts
        if distrusts is not None and is_calibrated(work.choice.codec.name):
            return await self.fall_back(work, distrusts, 0.0)
        if not self._breaker.admit():
            return await self.fall_back(work, self._breaker.error or _away(), 0.0)
        begun_at = perf_counter()
        try:
            result = await self._ask(self.transport, work, work.message)
        except SplitpointError as error:
            now_s = perf_counter()
            self._learn(work, error, begun_at, now_s)
            return await self.fall_back(work, error, now_s - begun_at)
        except BaseException:
            self._breaker.withdrew()
            raise
        self._breaker.succeeded()
        return result

    def _learn(
        self, work: PreparedFrame, error: SplitpointError, begun_at: float, now_s: float
    ) -> None:
        """Learn from what the cloud failed a frame with."""
        if isinstance(error, MismatchError) and is_calibrated(work.choice.codec.name):
            self._breaker.succeeded()  # it has answered; what needs no calibration it may well serve
            self._controller.distrust(error)
            return
        self._breaker.failed(error, begun_at, now_s)
        if (
            self._breaker.circuit is not Circuit.TRYING
        ):  # else a server warms up, and no link is slow
            self._controller.learned.failed(work, error, now_s - begun_at)

    async def fall_back(self, work: PreparedFrame, error: SplitpointError, lost_s: float) -> Result:
        """Go on without the cloud, because of `error`, which cost `lost_s`."""
        if self._on_failure == "fail":
            raise error
        kind = kind_of(error)
        self.fallbacks[kind] += 1
        return replace(await self._go_on(work, error, lost_s), fallback=kind)

    async def _go_on(self, work: PreparedFrame, error: SplitpointError, lost_s: float) -> Result:
        if self._runner.stages.bundle.heads_only:
            return await self._take_exit(work, error, lost_s)
        if not self._fits(work):
            return self._without(work, error, lost_s)
        try:
            async with asyncio.timeout(grace_s(work.arrived_at, work.deadline_at)):
                finish = partial(self._finish, work, error, lost_s)
                return await self._device.run(work.arrived_at, finish)
        except (TimeoutError, LateError):
            return self._without(work, error, lost_s)

    async def _take_exit(
        self, work: PreparedFrame, error: SplitpointError, lost_s: float
    ) -> Result:
        """Return the exit's answer, however unsure it is, as there is no tail here; else an error."""
        if work.exit is None and self._runner.stages.has_exit(work.choice.cut.id):
            await self._device.run(work.arrived_at, partial(self._runner.ask_exit, work))
        return self._runner.exit_here(work, error, lost_s) or self._runner.unfinished(work, error)

    async def _ask(self, transport: GrpcTransport, work: PreparedFrame, message: bytes) -> Result:
        patience_s = self._patience_s(work)
        if patience_s <= 0:
            raise LateError("no time is left to ask the cloud. Allow more, or use an earlier cut.")
        try:
            async with asyncio.timeout(patience_s):
                await self._greet()
        except TimeoutError:
            raise LateError(
                f"{transport.address} has not said who it is in {format_duration(patience_s)}."
            ) from None
        reply = await transport.call(work.request_id, message, self._patience_s(work), work.leaves)
        result = self._runner.answered(work, reply)
        self._controller.learned.answered(work, reply)
        return result

    def _patience_s(self, work: PreparedFrame) -> float:
        """Return how long to wait for the cloud, so that what remains can be done here in time."""
        left_s = work.deadline_at - perf_counter()
        # When the wait ends, another frame's head may just have begun.
        tail_s = self._tail_s(work) + self._runner.stages.head_s(work.choice.cut.id)
        reserved_s = tail_s if tail_s < left_s else 0.0
        return min(self.timeout_s, left_s - reserved_s - _SPARE_S)

    def _tail_s(self, work: PreparedFrame) -> float:
        """Return what the rest takes here; infinite if it would have to be loaded first."""
        stages, cut_id = self._runner.stages, work.choice.cut.id
        known_s = stages.tail_s(cut_id)
        if not stages.is_loaded("tail", cut_id) or known_s is None:
            return math.inf
        return (1 + _SPARE) * known_s

    def _fits(self, work: PreparedFrame) -> bool:
        left_s = grace_s(work.arrived_at, work.deadline_at)
        if left_s is None:
            return True
        if self._tail_s(work) == math.inf:
            self._runner.stages.prefetch("tail", work.choice.cut.id)  # for the frames to come
        return self._tail_s(work) <= left_s

    def _finish(self, work: PreparedFrame, error: SplitpointError, lost_s: float) -> Result:
        if not self._fits(work):  # it had to wait for its turn
            raise LateError("the deadline passed while other frames were computed.")
        return self._runner.finish_here(work, error, lost_s)

    def _without(self, work: PreparedFrame, error: SplitpointError, lost_s: float) -> Result:
        """Return what is left without cloud and tail: the exit's answer, else an error."""
        return self._runner.exit_here(work, error, lost_s) or self._missed(work, error)

    def _missed(self, work: PreparedFrame, error: SplitpointError) -> Result:
        limit = format_duration(round(work.deadline_at - work.arrived_at, 6))
        late = LateError(
            f"the deadline of {limit} cannot be met: {kind_of(error)}, and the rest of "
            f"{work.choice.cut.id} does not fit in here. Allow more time, or use a later cut."
        )
        late.__cause__ = error
        failed = self._runner.failed(work.frame, work.arrived_at, work.choice, late)
        needed_s = None
        if (tail_s := self._runner.stages.tail_s(work.choice.cut.id)) is not None:
            needed_s = max(failed.latency_s, work.deadline_at - work.arrived_at) + tail_s
        return replace(
            failed, upload_bytes=work.sent_bytes, missed=Missed(kind_of(error), needed_s)
        )


def grace_s(arrived_at: float, deadline_at: float) -> float | None:
    """Return how much longer a computation here may be waited for; None without a deadline."""
    if deadline_at == math.inf:
        return None
    return max(0.0, deadline_at + GRACE * (deadline_at - arrived_at) - perf_counter())


def _away() -> UnreachableError:
    return UnreachableError("the cloud is being tried with another frame.")
