"""EdgeClient: the client for programs without an event loop."""

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine, Generator, Iterable
from concurrent.futures import Future
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from edge_client import defaults
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.client.hedges import HedgeCounts
from edge_client.client.options import ClientOptions
from edge_client.control.cloud_watch import LookCounts
from edge_client.frames.choice import Choice
from edge_client.frames.inputs import Inputs
from edge_client.frames.result import Result
from partitioner.bundle.bundle import Bundle
from partitioner.common.event_loop import LoopThread
from partitioner.network.link import Link
from partitioner.settings.declaration import spelled_out
from protos.errors import SplitpointError, UsageError

T = TypeVar("T")

_log = logging.getLogger(__name__)


class EdgeClient:
    """Split inference of one bundle with one server.

        with EdgeClient(cloud="host:50051", bundle="resnet50.bundle") as client:
            result = client.infer(array)

    The options and errors are those of AsyncEdgeClient; it connects when it is made. Safe to use
    from several threads; heads run one at a time.
    """

    @spelled_out(ClientOptions)
    def __init__(self, options: ClientOptions) -> None:
        self._client = AsyncEdgeClient.of(options)
        self._loop = LoopThread("splitpoint-edge")
        try:
            self._loop.run(self._client.connect())
        except BaseException:
            self.close()
            raise

    @classmethod
    def of(cls, options: ClientOptions) -> Self:
        """Return a client with all of these options."""
        return cls(**vars(options))

    def __repr__(self) -> str:
        return f"<{repr(self._client).removeprefix('<Async')}"

    @property
    def bundle(self) -> Bundle:
        """The bundle that runs."""
        return self._client.bundle

    @property
    def link(self) -> Link | None:
        """The link as it is believed to be: given, measured while connecting, or followed since."""
        return self._client.link

    @property
    def link_is_measured(self) -> bool:
        """True once `link` rests on what was seen of it, and not on what was given alone."""
        return self._client.link_is_measured

    @property
    def trouble(self) -> SplitpointError | None:
        """The cloud's last failure; None while all is well."""
        return self._client.trouble

    @property
    def cloud_is_away(self) -> bool:
        """True while the cloud is not asked; see AsyncEdgeClient.cloud_is_away."""
        return self._client.cloud_is_away

    @property
    def server_in_use(self) -> str | None:
        """The address of the server that is asked, of several; None where there is no choice."""
        return self._client.server_in_use

    @property
    def absence(self) -> str:
        """Why the cloud is not asked while it is away, as a clause."""
        return self._client.absence

    @property
    def fallbacks(self) -> Counter[str]:
        """Frames that the cloud was meant to serve and did not, by what it failed with."""
        return self._client.fallbacks

    @property
    def hedges(self) -> HedgeCounts:
        """What came of the frames that this device began to finish, too, as the cloud was late."""
        return self._client.hedges

    @property
    def looks(self) -> LookCounts:
        """How often the link was looked at, by frames that tried another option and by probes."""
        return self._client.looks

    @property
    def switches(self) -> int:
        """The number of times that the policy has moved the cut."""
        return self._client.switches

    @property
    def choice(self) -> Choice:
        """The cut and the codec of the next frame, and why."""
        return self._client.choice

    @property
    def exit_threshold(self) -> defaults.ExitThreshold:
        """Confidence from which an exit answers early; see AsyncEdgeClient.exit_threshold."""
        return self._client.exit_threshold

    @exit_threshold.setter
    def exit_threshold(self, threshold: defaults.ExitThreshold) -> None:
        self._client.exit_threshold = threshold

    @property
    def exits_from(self) -> float | None:
        """Confidence from which the exit at the next frame's cut answers early; None: none does there."""
        return self._client.exits_from

    def set_option(self, cut: str, codec: str | None = None, reason: str = "") -> None:
        """Move the cut, from the next frame on; see AsyncEdgeClient.set_option."""
        self._client.set_option(cut, codec, reason)

    def infer(self, inputs: Inputs) -> Result:
        """Run the model on `inputs`; see AsyncEdgeClient.infer.

        Without a deadline the head runs in the calling thread, so that only the request changes threads.
        """
        if self._loop.loop.is_closed():
            raise UsageError("this client is closed. Make a new one.")
        if self._client.deadline_s is not None:
            return self._loop.run(self._client.infer(inputs))
        arrived_at = perf_counter()
        pipeline = self._client.pipeline  # the whole frame is of one version
        frame: int | None = None
        try:
            work = pipeline.prepare(inputs, arrived_at)
            frame = work.frame
            if work.message is None:
                return pipeline.finish(work)
            result = self._loop.run(pipeline.complete(work))
        except Exception as error:
            if (other := pipeline.rescuer(error)) is None:
                raise
        else:
            if (other := pipeline.instead_of(result)) is None:
                return result
        return self._loop.run(other.infer(inputs, arrived_at, "raise", frame=frame))

    def stream(
        self, frames: Iterable[Inputs] | str | Path, on_error: Literal["raise", "result"] = "raise"
    ) -> Generator[Result, None, None]:
        """Yield one result for each frame, in order; see AsyncEdgeClient.stream.

        `frames` is iterated in a thread of its own.
        """
        results = self._client.stream(frames, on_error)
        turn = asyncio.Lock()  # an interrupted wait has to end before the stream can be closed

        waiting: asyncio.Task[object] | None = None

        async def following() -> Result | None:
            nonlocal waiting
            waiting = asyncio.current_task()
            async with turn:
                return await anext(results, None)

        async def closing() -> None:
            if waiting is not None:  # interrupted after it was begun, and before it was waited for
                waiting.cancel()
            async with turn:
                await results.aclose()

        try:
            while (result := self._loop.run(following())) is not None:
                yield result
        finally:
            self._loop.run(closing())

    @property
    def asynchronous(self) -> AsyncEdgeClient:
        """The client of the event loop behind this one."""
        return self._client

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop of the asynchronous client, and return what it does."""
        return self._loop.run(work)

    def accompany(self, work: Coroutine[Any, Any, None]) -> "Future[None]":
        """Begin a coroutine in that loop; it is cancelled when the client closes, if not before.

        Its failure is logged at once, as the future may never be asked for it.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._loop.loop)
        future.add_done_callback(_log_failure)
        return future

    def close(self) -> None:
        """Let go of the connection and of the threads. Does nothing twice."""
        if not self._loop.loop.is_closed():
            self._loop.run(self._client.close())
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _log_failure(future: "Future[None]") -> None:
    if future.cancelled() or (error := future.exception()) is None:
        return
    broken = isinstance(error, BaseExceptionGroup) and error.subgroup(BrokenPipeError)
    if not broken:  # else the reader of the output has gone, which the frames notice too
        _log.error("what went on beside the frames has failed: %s", error, exc_info=error)
