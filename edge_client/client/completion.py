"""Completion of a frame after its head: by the cloud, else on this device, or without an answer.

A fallback is a value: whatever happens to the cloud, the frame goes on from the frontier that exists
(local_finish.py). Where the cloud's answer is late, an idle device does not wait for that to happen: it
begins to finish the frame, too, and what comes first is the result (hedges.py). The request that has lost
goes on unheard until its time is up. Its answer, or that none comes, teaches as much as any other, so it is
not cancelled at the server: to know the link is worth more than one tail.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from time import perf_counter

from edge_client.client.hedges import Hedge, HedgeCounts, Hedges
from edge_client.client.local_finish import LocalFinish
from edge_client.client.options import ClientOptions
from edge_client.cloud.reply import Reply, check_outputs
from edge_client.cloud.transport import GrpcTransport
from edge_client.control.controller import Controller
from edge_client.frames.compute_thread import ComputeThread
from edge_client.frames.failure import CloudFailure
from edge_client.frames.head import HeadRunner
from edge_client.frames.outcome import (
    served_by_cloud,
    served_by_edge,
    served_by_exit,
    served_by_none,
)
from edge_client.frames.prepared_frame import ExitAnswer, PreparedFrame
from edge_client.frames.result import Hedged, Result
from edge_client.frames.slowdown import batch_of
from partitioner.common.units import format_duration, plural
from partitioner.estimators.circuit_breaker import Breaker, Circuit
from protos.codecs.registry import is_calibrated
from protos.errors import (
    CalibrationError,
    LateError,
    SplitpointError,
    TooLargeError,
    UnreachableError,
)
from protos.tensors import BATCH_SIZE, Array

_HEADERS_DIFFER = 64
"""Bytes by which messages of one option differ, at most."""
_SPARE_S = 0.002
"""Kept of every deadline for what is neither cloud nor tail: waking, gathering, handing over."""

Greet = Callable[[], Awaitable[None]]
Answer = Reply | CloudFailure
Here = Mapping[str, Array] | ExitAnswer | None
"""What this device makes of a frame: the tail's outputs, the exit's answer, or nothing."""


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
        *,
        fallbacks: Counter[str] | None = None,
        hedges: HedgeCounts | None = None,
    ) -> None:
        self.fallbacks: Counter[str] = Counter() if fallbacks is None else fallbacks
        """Frames that the cloud was meant to serve and did not, by what it failed with."""
        self._runner = runner
        self._stages, self._bundle = runner.stages, runner.stages.bundle
        self._finish = LocalFinish(runner, device, controller)
        self._hedges = Hedges(options.hedging, self._finish, controller, hedges)
        self._overtaken: set[asyncio.Task[Answer]] = set()
        self._transport = transport
        self._breaker = breaker
        self._controller = controller
        self._window = options.window
        self._timeout_s = options.timeout_s
        self._on_failure = options.on_failure
        self._greet, self._has_greeted = greet, False

    @property
    def timeout_s(self) -> float:
        """Seconds until an answer counts as lost."""
        return self._timeout_s

    @property
    def is_crossing(self) -> bool:
        """True while the cloud is asked for any frame."""
        return self._transport is not None and self._transport.is_busy

    def wait_at_most(self, timeout_s: float) -> None:
        """Count answers as lost after so long, from the next frame on."""
        self._timeout_s = timeout_s

    @property
    def hedges(self) -> HedgeCounts:
        """What came of hedges since the start."""
        return self._hedges.counts

    async def complete(self, work: PreparedFrame) -> Result:
        """Return the frame's result; raises only with on_failure="fail", what the cloud failed with."""
        if work.message is None or self._transport is None:
            return self.answered_here(work)
        if (refusal := self._refusal(work)) is not None:
            return await self._conclude(work, CloudFailure(refusal, 0.0, was_asked=False))
        way = self._hedges.enter(work, self._transport)
        trying = self._try_cloud(self._transport, work, work.message)
        if way is None:
            return await self._conclude(work, await trying)
        asking = asyncio.create_task(trying)
        try:
            await asyncio.wait((asking,), timeout=self._hedges.soonest_s(work))
            hedge = None if asking.done() else self._hedges.plan(work, way)
            if hedge is not None and (left_s := hedge.due_at - perf_counter()) > 0:
                await asyncio.wait((asking,), timeout=left_s)
            if hedge is None or asking.done() or not self._hedges.may_begin():
                return await self._conclude(work, await asking)
            return await self._race(work, hedge, asking)
        finally:
            if asking not in self._overtaken:
                asking.cancel()

    async def close(self) -> None:
        """Give up the requests whose frames were finished without them."""
        overtaken = tuple(self._overtaken)
        for asking in overtaken:
            asking.cancel()
        await asyncio.gather(*overtaken, return_exceptions=True)

    def answered_here(self, work: PreparedFrame) -> Result:
        """Return the result of a frame of which nothing crosses: the exit or the head has answered."""
        if work.exit is not None:
            return served_by_exit(self._bundle, work, work.exit)
        return served_by_edge(self._bundle, work, {})

    async def _race(
        self, work: PreparedFrame, hedge: Hedge, asking: asyncio.Task[Answer]
    ) -> Result:
        """Return what comes first, the cloud's answer or this device's."""
        finishing = asyncio.create_task(self._finish.hedge(work, hedge.run))
        try:
            await asyncio.wait((asking, finishing), return_when=asyncio.FIRST_COMPLETED)
            if not asking.done() and (here := await finishing) is not None:
                return self._answered_first(work, hedge, asking, here)
            answer = await asking
            if isinstance(answer, Reply):
                hedged = self._hedges.cloud_was_first(hedge)
                return served_by_cloud(self._bundle, work, answer, hedged)
            if hedge.run.begun_at is None or (here := await finishing) is None:
                return await self._conclude(work, answer)  # whose turn does not wait for a pause
            self.fallbacks[answer.kind] += 1
            return self._result(work, answer, here, self._hedges.device_was_first(hedge, work))
        finally:
            hedge.run.drop()
            finishing.cancel()

    def _answered_first(
        self, work: PreparedFrame, hedge: Hedge, asking: asyncio.Task[Answer], here: Here
    ) -> Result:
        """Return the result of a frame that this device has finished; the cloud may answer unheard."""
        if work.sent_bytes:
            self._overtaken.add(asking)
            asking.add_done_callback(self._overtaken_ended)
        return self._result(work, None, here, self._hedges.device_was_first(hedge, work))

    def _overtaken_ended(self, asking: asyncio.Task[Answer]) -> None:
        self._overtaken.discard(asking)
        if not asking.cancelled() and isinstance(answer := asking.result(), Reply):
            self._hedges.unused(answer)

    async def _try_cloud(
        self, transport: GrpcTransport, work: PreparedFrame, message: bytes
    ) -> Answer:
        """Return what the cloud answers, or what it fails the frame with; both are learnt from."""
        begun_at, option = perf_counter(), work.choice.option
        cloud_s = option.cloud_s if option else 0.0
        self._controller.learned.sent(work.request_id, len(message), begun_at, cloud_s)
        try:
            reply = await self._ask(transport, work, message)
        except SplitpointError as error:
            now_s = perf_counter()
            self._learn(work, error, begun_at, now_s)
            return CloudFailure(error, now_s - begun_at)
        except BaseException:
            self._breaker.withdrew()
            raise
        finally:
            self._controller.learned.settled(work.request_id)
        self._hedges.answered(work, reply, begun_at)
        self._breaker.succeeded()
        return reply

    def _refusal(self, work: PreparedFrame) -> SplitpointError | None:
        """Return why the cloud is not asked for this frame; None if it is."""
        distrusts = self._controller.distrusts
        if distrusts is not None and is_calibrated(work.choice.codec.name):
            return distrusts
        if len(self._overtaken) >= self._window:
            return _swamped(len(self._overtaken))
        most = self._runner.most_rows.get(work.choice.label)
        rows = batch_of(work.choice.cut.frontier, work.values)
        if most is not None and rows > most:
            return TooLargeError(
                f"the frame has {plural(rows, 'sample')}, and the cloud takes {most} at a time. Give "
                "fewer in a frame, or let it take more (splitpoint export triton --max-batch-size)."
            )
        now_s = perf_counter()
        return None if self._breaker.admit(now_s) else self._breaker.refusal(now_s) or _away()

    async def _ask(self, transport: GrpcTransport, work: PreparedFrame, message: bytes) -> Reply:
        patience_s = self._patience_s(work)
        if patience_s <= 0:
            raise LateError("no time is left to ask the cloud. Allow more, or use an earlier cut.")
        if not self._has_greeted:
            await self._greet_within(patience_s, transport.address)
        if work.plain_server != transport.plain_server:
            message = await self._packed_for(transport, work)
        reply = await transport.call(
            work.request_id, message, self._patience_s(work), work.leaves, partial(self._hear, work)
        )
        wanted, frontier = work.choice.cut.tail_outputs, work.choice.cut.frontier
        has_batch = any(BATCH_SIZE in spec.shape for spec in frontier)
        check_outputs(
            reply.outputs,
            (spec for spec in self._bundle.outputs if spec.name in wanted),
            batch_of(frontier, work.values) if has_batch else None,
        )
        self._controller.learned.answered(work, reply)
        return reply

    async def _greet_within(self, patience_s: float, address: str) -> None:
        try:
            async with asyncio.timeout(patience_s):
                await self._greet()
        except TimeoutError:
            raise LateError(
                f"{address} has not said who it is in {format_duration(patience_s)}."
            ) from None
        self._has_greeted = True

    async def _packed_for(self, transport: GrpcTransport, work: PreparedFrame) -> bytes:
        """Return the message for the server that is asked by now, if this version has greeted it."""
        if self._runner.plain_server == transport.plain_server:
            message = await asyncio.to_thread(self._runner.pack_anew, work)
            if work.plain_server == transport.plain_server:
                return message
        raise UnreachableError(
            f"{transport.address} has not said yet what it has of this version of {self._bundle.name!r}."
        )

    def _hear(self, work: PreparedFrame, reply: Reply) -> None:
        """Learn from an answer that came after its frame had been finished without it."""
        self._breaker.heard_late()
        self._controller.learned.answered(work, reply, late=True)

    def _learn(
        self, work: PreparedFrame, error: SplitpointError, begun_at: float, now_s: float
    ) -> None:
        """Learn from what the cloud failed a frame with."""
        if isinstance(error, CalibrationError):
            self._breaker.succeeded()  # it has answered; what needs no calibration it may well serve
            self._controller.distrust(error)
            return
        self._breaker.failed(error, begun_at, now_s)
        is_plain = self._transport is not None and self._transport.plain_server is not None
        if is_plain and isinstance(error, TooLargeError) and work.sent_bytes:
            # It has told no limit; options of as many bytes are not tried again.
            self._controller.heed_limit(work.sent_bytes - _HEADERS_DIFFER)
        if (
            self._breaker.circuit is not Circuit.TRYING
        ):  # else a server warms up, and no link is slow
            self._controller.learned.failed(work, error, now_s - begun_at)

    async def _conclude(self, work: PreparedFrame, answer: Answer) -> Result:
        """Return the result by the cloud's answer; where it has failed, go on without it, or fail as told."""
        if isinstance(answer, Reply):
            return served_by_cloud(self._bundle, work, answer)
        if self._on_failure == "fail":
            raise answer.error
        self.fallbacks[answer.kind] += 1
        return self._result(work, answer, await self._finish.finish(work))

    def _result(
        self,
        work: PreparedFrame,
        failure: CloudFailure | None,
        here: Here,
        hedged: Hedged | None = None,
    ) -> Result:
        """Return the result of a frame that this device has finished, or could not."""
        if isinstance(here, ExitAnswer):
            return served_by_exit(self._bundle, work, here, failure, hedged)
        if here is not None or failure is None:
            return served_by_edge(self._bundle, work, here or {}, failure, hedged)
        error, missed = self._finish.why_none(work, failure)
        return served_by_none(
            work.frame,
            work.choice,
            work.arrived_at,
            error,
            sent_bytes=work.sent_bytes,
            missed=missed,
            failure=failure,
            version_digest=self._bundle.version_digest,
        )

    def _patience_s(self, work: PreparedFrame) -> float:
        """Return how long to wait for the cloud, so that what remains can be done here in time."""
        left_s, cut_id = work.deadline_at - perf_counter(), work.choice.cut.id
        # When the wait ends, another frame's head may just have begun.
        tail_s = self._finish.reserved_s(cut_id) + self._stages.head_s(cut_id)
        reserved_s = tail_s if tail_s < left_s else 0.0
        return min(self._timeout_s, left_s - reserved_s - _SPARE_S)


def _swamped(unanswered: int) -> LateError:
    """Return why nothing more is sent: what this device has finished would fill the uplink for ever."""
    count = plural(unanswered, "request of an earlier frame", "requests of earlier frames")
    return LateError(f"{count} wait for their answers, and no more are sent meanwhile.")


def _away() -> UnreachableError:
    return UnreachableError("the cloud is being tried with another frame.")
