"""Profiles on request: the server times its own heads and tails, one bundle at a time."""

import asyncio
import threading
from collections.abc import AsyncIterator

from partitioner.bundle.bundle import Bundle
from partitioner.profiles.profile import Profile
from partitioner.runtime.sessions import RuntimeOptions
from protos.errors import MeasuringError, UnreachableError
from protos.rpc.status import MEASURES
from protos.serving.drain import Drain
from protos.serving.refusals import DRAINING
from protos.splitpoint_pb2 import MeasureProfileResponse


class _StoppedError(Exception):
    """The caller has given the measurement up."""


class ProfileMeter:
    """Measures profiles in a thread; two at once would time each other."""

    def __init__(self, drain: Drain) -> None:
        self._drain = drain
        self._busy = False

    async def measure(
        self, bundle: Bundle, options: RuntimeOptions, budget_s: float
    ) -> AsyncIterator[MeasureProfileResponse]:
        """Yield progress, then the profile. Ends early when the caller goes or the server drains.

        Raises MeasuringError while another measurement runs.
        """
        if self._busy:
            raise MeasuringError(f"this server is {MEASURES}. Try again when that is done.")
        steps: asyncio.Queue[MeasureProfileResponse | None] = asyncio.Queue()
        stopped = threading.Event()
        profile = self._start(bundle, options, budget_s, steps, stopped)
        try:
            with self._drain.listener(lambda: steps.put_nowait(None)):
                while (step := await steps.get()) is not None:
                    yield step
            if not profile.done():
                raise UnreachableError(DRAINING)
            yield MeasureProfileResponse(profile_json=(await profile).model_dump_json())
        finally:
            stopped.set()

    def _start(
        self,
        bundle: Bundle,
        options: RuntimeOptions,
        budget_s: float,
        steps: asyncio.Queue[MeasureProfileResponse | None],
        stopped: threading.Event,
    ) -> asyncio.Future[Profile]:
        loop = asyncio.get_running_loop()

        def report(stage: str, done: int, total: int) -> None:
            if stopped.is_set():
                raise _StoppedError
            step = MeasureProfileResponse(stage=stage, done=done, total=total)
            loop.call_soon_threadsafe(steps.put_nowait, step)

        def measure() -> Profile:
            from partitioner.profiles.profiler import measure_profile

            return measure_profile(bundle, options=options, budget_s=budget_s, on_progress=report)

        def ended(future: asyncio.Future[Profile]) -> None:
            self._busy = False
            future.exception()
            steps.put_nowait(None)

        self._busy = True
        profile = loop.run_in_executor(None, measure)
        profile.add_done_callback(ended)
        return profile
