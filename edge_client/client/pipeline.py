"""Frames from their inputs to their results: each checked, given a choice, its head run, and completed."""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Coroutine
from functools import partial
from itertools import count
from time import perf_counter
from typing import Any, Literal

from edge_client.client.completion import FrameCompletion
from edge_client.client.feed import Source, as_async, opened
from edge_client.client.local_finish import grace_s
from edge_client.client.options import ClientOptions
from edge_client.client.window import in_order
from edge_client.control.controller import Controller
from edge_client.control.lookahead import Lookahead
from edge_client.frames.compute_thread import ComputeThread
from edge_client.frames.failure import head_too_late
from edge_client.frames.head import HeadRunner
from edge_client.frames.inputs import Inputs, check_inputs
from edge_client.frames.outcome import served_by_none
from edge_client.frames.prepared_frame import PreparedFrame
from edge_client.frames.result import BUSY, SLOW, Missed, Result
from edge_client.sources.paced_frames import Asked, Limited, WhenFree
from edge_client.updates.trial import VersionTally, is_fault
from protos.errors import SplitpointError
from protos.names import EDGE

OnError = Literal["raise", "result"]
"""A frame that fails raises, or becomes a Result that is served by none."""


class FramePipeline:
    """Takes frames through head and completion. Used in one event loop, but for `prepare`."""

    def __init__(
        self,
        options: ClientOptions,
        runner: HeadRunner,
        device: ComputeThread,
        controller: Controller,
        completion: FrameCompletion,
        *,
        numbers: "count[int] | None" = None,
        tally: VersionTally | None = None,
    ) -> None:
        self.tally = tally or VersionTally()
        """Counts what frames come to."""
        self.instead: Callable[[], FramePipeline | None] = _nobody
        """Serves frames that fail by what this version may be to blame for, while it is on trial."""
        self.lookahead = Lookahead(controller)
        self.bundle = runner.stages.bundle
        self._runner = runner
        self.device = device
        self.controller = controller
        self._completion = completion
        self.window = options.window
        self.deadline_s = math.inf if options.deadline_s is None else options.deadline_s
        self._numbers = numbers or count()
        self._in_flight = 0

    def prepare(self, inputs: Inputs, arrived_at: float) -> PreparedFrame:
        """Check one frame and run its head, in this thread; for callers that have one of their own."""
        return self._prepare(next(self._numbers), inputs, arrived_at, math.inf)

    def finish(self, work: PreparedFrame) -> Result:
        """Return the result of a prepared frame of which nothing crosses."""
        return self._noted(self._completion.answered_here(work))

    async def complete(self, work: PreparedFrame) -> Result:
        """Bring a prepared frame to its result."""
        return self._noted(await self._completion.complete(work))

    def rescuer(self, error: Exception) -> "FramePipeline | None":
        """Count what a frame failed with; return what may serve it instead, if anything may."""
        self.tally.failed(error)
        return self.instead() if is_fault(error) else None

    def instead_of(self, result: Result) -> "FramePipeline | None":
        """Return what may serve a frame instead of a result that is a failure, if anything may."""
        failed = result.error
        return self.instead() if failed is not None and is_fault(failed) else None

    async def infer(
        self,
        inputs: Inputs,
        arrived_at: float,
        on_error: OnError,
        *,
        frame: int | None = None,
        asked_at: float = -math.inf,
    ) -> Result:
        """Bring a frame to its result; `frame`: its number, None for the next; `asked_at`: when there was
        room for it.

        With on_error="result" what it fails with is a Result that is served by none.
        """
        number = next(self._numbers) if frame is None else frame
        choice = self.controller.chosen()
        self.lookahead.end_pause()
        try:
            result = await self._try(number, inputs, arrived_at, asked_at)
        except Exception as error:
            if (other := self.rescuer(error)) is not None:
                return await other.infer(inputs, arrived_at, on_error, frame=number)
            if on_error == "raise" or not isinstance(error, SplitpointError):
                raise
            digest = self.bundle.version_digest
            return served_by_none(number, choice, arrived_at, error, version_digest=digest)
        else:
            self.tally.note(result)
            if (other := self.instead_of(result)) is not None:
                return await other.infer(inputs, arrived_at, on_error, frame=number)
            return result
        finally:
            self.lookahead.begin_pause()  # once the result is with the caller

    def _noted(self, result: Result) -> Result:
        self.tally.note(result)
        return result

    async def _try(self, frame: int, inputs: Inputs, arrived_at: float, asked_at: float) -> Result:
        deadline_at = arrived_at + self.deadline_s
        self._in_flight += 1
        try:
            async with asyncio.timeout(grace_s(arrived_at, deadline_at)):
                prepare = partial(self._prepare, frame, inputs, arrived_at, deadline_at, asked_at)
                work: PreparedFrame = await self.device.run(arrived_at, prepare)
        except TimeoutError:
            late, choice = head_too_late(self.deadline_s), self.controller.chosen()
            missed = self._missed_head(choice.cut.id, arrived_at)
            return served_by_none(
                frame,
                choice,
                arrived_at,
                late,
                missed=missed,
                version_digest=self.bundle.version_digest,
            )
        else:
            return await self._completion.complete(work)
        finally:
            self._in_flight -= 1

    def _prepare(
        self,
        frame: int,
        inputs: Inputs,
        arrived_at: float,
        deadline_at: float,
        asked_at: float = -math.inf,
    ) -> PreparedFrame:
        checked = check_inputs(inputs, self.bundle.inputs)
        choice = self.controller.next(arrived_at, asked_at)
        beside = self._completion.is_crossing
        work = self._runner.prepare(checked, frame, arrived_at, deadline_at, choice)
        self.controller.learned.prepared(work, beside=beside)
        return work

    def _missed_head(self, cut_id: str, arrived_at: float) -> Missed:
        """Return why a head was not done in time, and what the frame would have taken here."""
        stages = self._runner.stages
        head_s, tail_s = stages.head_s(cut_id), stages.tail_s(cut_id)
        rest_s = 0.0 if cut_id == EDGE else tail_s
        known = head_s > 0 and rest_s is not None
        needed_s = perf_counter() - arrived_at + head_s + (rest_s or 0.0) if known else None
        return Missed(SLOW if head_s > self.deadline_s else BUSY, needed_s)


async def stream_frames(
    current: Callable[[], FramePipeline],
    frames: Source,
    on_error: OnError,
    most_fps: Callable[[], float | None] | None = None,
) -> AsyncGenerator[Result, None]:
    """Yield one result for each frame, in order, with up to `window` frames at work.

    Each frame takes the pipeline that is `current` when it is begun. With a deadline a frame is taken only
    when the device is free. `most_fps`: how many frames a second may be taken now; None: as many as come.
    """
    first = current()
    source = as_async(opened(frames, first.bundle.inputs))
    limited = source if most_fps is None else Limited(source, most_fps)
    device_paced = first.deadline_s < math.inf
    asked = WhenFree(limited, first.device) if device_paced else Asked(limited)

    def run(index: int, inputs: Inputs) -> Coroutine[Any, Any, Result]:
        """Is called before the next frame is asked for."""
        asked_at = asked.asked_at
        return current().infer(inputs, perf_counter(), on_error, frame=index, asked_at=asked_at)

    results = in_order(asked, run, first.window)
    learned = first.controller.learned
    learned.pace(device_paced)
    try:
        async for result in results:
            yield result
    finally:
        learned.pace(-device_paced)
        await results.aclose()
        if hasattr(source, "aclose"):
            await source.aclose()


def _nobody() -> FramePipeline | None:
    """There is no version that was left for this one."""
    return None
