"""The rest of a frame on this device: by the tail, else by the exit, else not at all.

Where the rest of the model fits into what is left of the deadline it is computed; otherwise the exit's
answer is taken, if it has been asked. A device that holds heads only has nothing but exits.
"""

import asyncio
import math
from collections.abc import Mapping
from functools import partial
from time import perf_counter

from edge_client.control.controller import Controller
from edge_client.frames.compute_thread import ComputeThread
from edge_client.frames.failure import CloudFailure, misfit, unanswered
from edge_client.frames.head import HeadRunner
from edge_client.frames.prepared_frame import ExitAnswer, PreparedFrame
from edge_client.frames.result import Missed
from partitioner.runtime.interruption import InterruptedRunError, Interruption
from protos.errors import LateError, SplitpointError
from protos.tensors import Array

_SPARE = 0.2
"""Kept of a deadline beyond a tail's usual time, as a share of it, since it varies."""
GRACE = 0.05
"""Share of a deadline by which a computation here may be late: nearly done, it should not be for nothing."""


class HedgeRun:
    """A run of the rest of a frame in a pause of the device, which may be dropped at any time."""

    def __init__(self) -> None:
        self.begun_at: float | None = None
        """When the device began with it; None before that."""
        self.took_s = 0.0
        """What the tail took, once it has its outputs."""
        self._interruption = Interruption()

    def begin(self) -> Interruption:
        """Note that the device begins with it now; return what may end it."""
        self.begun_at = perf_counter()
        return self._interruption

    def drop(self) -> float:
        """Let it end; return the seconds that it has taken for nothing."""
        self._interruption.ask()
        return 0.0 if self.begun_at is None else perf_counter() - self.begun_at


class LocalFinish:
    """Finishes frames here, from the frontier that was computed."""

    def __init__(self, runner: HeadRunner, device: ComputeThread, controller: Controller) -> None:
        self._runner = runner
        self._stages, self._bundle = runner.stages, runner.stages.bundle
        self._device = device
        self._controller = controller

    def is_possible(self, cut_id: str) -> bool:
        """Tell whether frames of a cut can be finished here at all."""
        return not self._bundle.heads_only or self._stages.has_exit(cut_id)

    def usual_s(self, cut_id: str) -> float | None:
        """Return what the rest of a cut takes here; None for an exit's, or where it is not open."""
        return self._stages.tail_s(cut_id) if self._stages.is_open("tail", cut_id) else None

    def reserved_s(self, cut_id: str) -> float:
        """Return what the rest of a cut takes here at most; infinite where it would have to be opened."""
        usual_s = self.usual_s(cut_id)
        return math.inf if usual_s is None else (1 + _SPARE) * usual_s

    async def finish(self, work: PreparedFrame) -> Mapping[str, Array] | ExitAnswer | None:
        """Return the outputs of the tail, or the answer of the exit; None if there is neither in time."""
        if self._bundle.heads_only:
            await self._ask_exit(work)
            return work.exit
        outputs = await self._run_tail(work)
        return work.exit if outputs is None else outputs

    async def hedge(
        self, work: PreparedFrame, run: HedgeRun
    ) -> Mapping[str, Array] | ExitAnswer | None:
        """Return the same in a pause of the device, while the cloud may still answer; None: only wait for it.

        A tail that does not fit into the deadline gives way to the cloud, and to no exit yet.
        """
        try:
            if self._bundle.heads_only:
                await self._ask_exit(work, run)
                return work.exit
            return await self._run_tail(work, run)
        except (SplitpointError, InterruptedRunError):
            return None  # the cloud may do better

    async def _ask_exit(self, work: PreparedFrame, run: HedgeRun | None = None) -> None:
        """Ask the exit, whose answer counts however unsure it is, as there is no tail here."""

        def ask() -> None:
            if run is not None:
                run.begin()
            self._runner.ask_exit(work)

        if work.exit is None and self._stages.has_exit(work.choice.cut.id):
            await self._device.run(work.arrived_at, ask, fills_pauses=run is not None)

    async def _run_tail(
        self, work: PreparedFrame, run: HedgeRun | None = None
    ) -> Mapping[str, Array] | None:
        """Return the outputs of the tail, run here; None where the deadline leaves no time for it."""
        if not self._fits(work):
            return None
        try:
            async with asyncio.timeout(grace_s(work.arrived_at, work.deadline_at)):
                outputs, tail_s = await self._device.run(
                    work.arrived_at,
                    partial(self._run_fitting_tail, work, run),
                    fills_pauses=run is not None,
                )
        except (TimeoutError, LateError):
            return None
        if run is None:
            work.spent(tail_s)
        else:
            run.took_s = tail_s  # only if it is first it is the frame's
        return outputs

    def _run_fitting_tail(
        self, work: PreparedFrame, run: HedgeRun | None
    ) -> tuple[Mapping[str, Array], float]:
        if not self._fits(work):  # it had to wait for its turn
            raise LateError("the deadline passed while other frames were computed.")
        interruption = None if run is None else run.begin()
        return self._stages.run_tail(work.choice.cut.id, work.values, interruption)

    def _fits(self, work: PreparedFrame) -> bool:
        left_s = grace_s(work.arrived_at, work.deadline_at)
        if left_s is None:
            return True
        usual_s = self.usual_s(work.choice.cut.id)
        if usual_s is None:
            self._stages.prefetch("tail", work.choice.cut.id)  # for the frames to come
            return False
        return usual_s <= left_s  # nothing to spare any more: else the frame would be lost

    def why_none(
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
