"""Completion of a frame after its head: by the cloud, else by the tail here, the exit, or without an answer.

A fallback is a value: whatever happens to the cloud, the frame goes on from the frontier that exists.
Where the rest of the model fits into what is left of the deadline it is computed here; otherwise the
exit's answer is taken, and without an exit the frame's result has no answer, and says why. A device
that holds heads only has nothing but exits.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from time import perf_counter

from edge_client.client.options import ClientOptions
from edge_client.cloud.reply import Reply, check_outputs
from edge_client.cloud.transport import GrpcTransport
from edge_client.control.controller import Controller
from edge_client.frames.compute_thread import ComputeThread
from edge_client.frames.failure import CloudFailure, misfit, unanswered
from edge_client.frames.head import HeadRunner
from edge_client.frames.outcome import (
    served_by_cloud,
    served_by_edge,
    served_by_exit,
    served_by_none,
)
from edge_client.frames.prepared_frame import PreparedFrame
from edge_client.frames.result import Missed, Result
from partitioner.common.units import format_duration
from partitioner.estimators.circuit_breaker import Breaker, Circuit
from protos.codecs.registry import is_calibrated
from protos.errors import CalibrationError, LateError, SplitpointError, UnreachableError
from protos.tensors import Array

_SPARE_S = 0.002
"""Kept of every deadline for what is neither cloud nor tail: waking, gathering, handing over."""
_SPARE = 0.2
"""And this share of a tail's usual time, since it varies."""
GRACE = 0.05
"""Share of a deadline by which a computation here may be late: nearly done, it should not be for nothing."""

Greet = Callable[[], Awaitable[None]]


class FrameCompletion:
    """Brings prepared frames to their results. `transport`: None without a cloud."""

    def __init__(
        self,
        options: ClientOptions,
        runner: HeadRunner,
        device: ComputeThread,
        transport: GrpcTransport | None,
        breaker: Breaker,
        controller: Controller,
        greet: Greet,
    ) -> None:
        self.fallbacks: Counter[str] = Counter()
        """Frames that the cloud was meant to serve and did not, by what it failed with."""
        self._runner = runner
        self._stages, self._bundle = runner.stages, runner.stages.bundle
        self._device = device
        self._transport = transport
        self._breaker = breaker
        self._controller = controller
        self._timeout_s = options.timeout_s
        self._on_failure = options.on_failure
        self._greet = greet

    @property
    def timeout_s(self) -> float:
        """Seconds until an answer counts as lost."""
        return self._timeout_s

    def wait_at_most(self, timeout_s: float) -> None:
        """Count answers as lost after so long, from the next frame on."""
        self._timeout_s = timeout_s

    async def complete(self, work: PreparedFrame) -> Result:
        """Return the frame's result; raises only with on_failure="fail", what the cloud failed with."""
        if work.message is None or self._transport is None:
            return self.answered_here(work)
        reply = await self._try_cloud(self._transport, work, work.message)
        if isinstance(reply, Reply):
            return served_by_cloud(self._bundle, work, reply)
        if self._on_failure == "fail":
            raise reply.error
        self.fallbacks[reply.kind] += 1
        return await self._go_on(work, reply)

    def answered_here(self, work: PreparedFrame) -> Result:
        """Return the result of a frame of which nothing crosses: the exit or the head has answered."""
        if work.exit is not None:
            return served_by_exit(self._bundle, work, work.exit)
        return served_by_edge(self._bundle, work, {})

    async def _try_cloud(
        self, transport: GrpcTransport, work: PreparedFrame, message: bytes
    ) -> Reply | CloudFailure:
        """Return what the cloud answers, or what it fails the frame with; both are learnt from."""
        if (refusal := self._refusal(work)) is not None:
            return CloudFailure(refusal, 0.0)
        begun_at = perf_counter()
        try:
            reply = await self._ask(transport, work, message)
        except SplitpointError as error:
            now_s = perf_counter()
            self._learn(work, error, begun_at, now_s)
            return CloudFailure(error, now_s - begun_at)
        except BaseException:
            self._breaker.withdrew()
            raise
        self._breaker.succeeded()
        return reply

    def _refusal(self, work: PreparedFrame) -> SplitpointError | None:
        """Return why the cloud is not asked for this frame; None if it is."""
        distrusts = self._controller.distrusts
        if distrusts is not None and is_calibrated(work.choice.codec.name):
            return distrusts
        return None if self._breaker.admit() else self._breaker.error or _away()

    async def _ask(self, transport: GrpcTransport, work: PreparedFrame, message: bytes) -> Reply:
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
        reply = await transport.call(
            work.request_id, message, self._patience_s(work), work.leaves, partial(self._hear, work)
        )
        wanted = work.choice.cut.tail_outputs
        check_outputs(reply.outputs, (s for s in self._bundle.outputs if s.name in wanted))
        self._controller.learned.answered(work, reply)
        return reply

    def _hear(self, work: PreparedFrame, reply: Reply) -> None:
        """Learn from an answer that came after its frame had been finished without it."""
        self._breaker.heard_late()
        self._controller.learned.answered(work, reply)

    def _learn(
        self, work: PreparedFrame, error: SplitpointError, begun_at: float, now_s: float
    ) -> None:
        """Learn from what the cloud failed a frame with."""
        if isinstance(error, CalibrationError):
            self._breaker.succeeded()  # it has answered; what needs no calibration it may well serve
            self._controller.distrust(error)
            return
        self._breaker.failed(error, begun_at, now_s)
        if (
            self._breaker.circuit is not Circuit.TRYING
        ):  # else a server warms up, and no link is slow
            self._controller.learned.failed(work, error, now_s - begun_at)

    async def _go_on(self, work: PreparedFrame, failure: CloudFailure) -> Result:
        """Go on without the cloud: by the tail, else by the exit, else without an answer."""
        tail_outputs = None
        if self._bundle.heads_only:
            await self._ask_exit(work)
        else:
            tail_outputs = await self._run_tail(work)
        if tail_outputs is not None:
            return served_by_edge(self._bundle, work, tail_outputs, failure)
        if work.exit is not None:
            return served_by_exit(self._bundle, work, work.exit, failure)
        error, missed = self._no_answer(work, failure)
        return served_by_none(
            work.frame,
            work.choice,
            work.arrived_at,
            error,
            sent_bytes=work.sent_bytes,
            missed=missed,
            failure=failure,
        )

    async def _ask_exit(self, work: PreparedFrame) -> None:
        """Ask the exit, whose answer counts however unsure it is, as there is no tail here."""
        if work.exit is None and self._stages.has_exit(work.choice.cut.id):
            await self._device.run(work.arrived_at, partial(self._runner.ask_exit, work))

    async def _run_tail(self, work: PreparedFrame) -> Mapping[str, Array] | None:
        """Return the outputs of the tail, run here; None where the deadline leaves no time for it."""
        if not self._fits(work):
            return None
        try:
            async with asyncio.timeout(grace_s(work.arrived_at, work.deadline_at)):
                run = partial(self._run_fitting_tail, work)
                outputs, tail_s = await self._device.run(work.arrived_at, run)
        except (TimeoutError, LateError):
            return None
        work.spent(tail_s)
        return outputs

    def _run_fitting_tail(self, work: PreparedFrame) -> tuple[Mapping[str, Array], float]:
        if not self._fits(work):  # it had to wait for its turn
            raise LateError("the deadline passed while other frames were computed.")
        return self._stages.run_tail(work.choice.cut.id, work.values)

    def _patience_s(self, work: PreparedFrame) -> float:
        """Return how long to wait for the cloud, so that what remains can be done here in time."""
        left_s = work.deadline_at - perf_counter()
        # When the wait ends, another frame's head may just have begun.
        tail_s = self._tail_s(work) + self._stages.head_s(work.choice.cut.id)
        reserved_s = tail_s if tail_s < left_s else 0.0
        return min(self._timeout_s, left_s - reserved_s - _SPARE_S)

    def _tail_s(self, work: PreparedFrame) -> float:
        """Return what the rest takes here; infinite if it would have to be opened first."""
        cut_id = work.choice.cut.id
        known_s = self._stages.tail_s(cut_id)
        if not self._stages.is_open("tail", cut_id) or known_s is None:
            return math.inf
        return (1 + _SPARE) * known_s

    def _fits(self, work: PreparedFrame) -> bool:
        left_s = grace_s(work.arrived_at, work.deadline_at)
        if left_s is None:
            return True
        if self._tail_s(work) == math.inf:
            self._stages.prefetch("tail", work.choice.cut.id)  # for the frames to come
        return self._tail_s(work) <= left_s

    def _no_answer(
        self, work: PreparedFrame, failure: CloudFailure
    ) -> tuple[SplitpointError, Missed | None]:
        """Return why neither tail nor exit answers a frame, and what a missed deadline would have taken."""
        cut_id, timed = work.choice.cut.id, work.deadline_at < math.inf
        if self._bundle.heads_only:
            exits = [cut for cut in self._bundle.cuts if self._stages.has_exit(cut)]
            late = timed and isinstance(failure.error, LateError)
            missed = Missed(failure.kind, None) if late else None
            return unanswered(failure, self._bundle.name, cut_id, exits), missed
        deadline_s = work.deadline_at - work.arrived_at
        tail_s, took_s = self._stages.tail_s(cut_id), perf_counter() - work.arrived_at
        here_s = math.inf if tail_s is None else max(took_s, deadline_s) + tail_s
        there_s = self._controller.learned.usual_s(work.choice.label)
        least_s = min(here_s, max(took_s, there_s or math.inf))
        needed_s = least_s if least_s < math.inf else None
        return misfit(failure, cut_id, deadline_s), Missed(failure.kind, needed_s)


def grace_s(arrived_at: float, deadline_at: float) -> float | None:
    """Return how much longer a computation here may be waited for; None without a deadline."""
    if deadline_at == math.inf:
        return None
    return max(0.0, deadline_at + GRACE * (deadline_at - arrived_at) - perf_counter())


def _away() -> UnreachableError:
    return UnreachableError("the cloud is being tried with another frame.")
