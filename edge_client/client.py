"""The client: a bundle here, its server there, frames in and results out."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Literal, Self, TypeVar

from edge_client import defaults
from edge_client.choosing import OnProgress, choose_option, unheard
from edge_client.feeding import as_async
from edge_client.frames import Choice, FrameRunner, Work, choose
from edge_client.grpc_transport import GrpcTransport
from edge_client.handshake import ServerInfo, greet
from edge_client.inputs import Inputs, check_inputs
from edge_client.pipeline import in_order
from edge_client.results import Result
from edge_client.stages import Stages
from partitioner.bundle import Bundle
from partitioner.link import Link
from partitioner.sessions import RuntimeOptions
from protos.codecs import codec_for
from protos.errors import SplitpointError, TooLargeError, UsageError
from protos.names import EDGE

R = TypeVar("R")

AUTO = "auto"

_HEADER_BYTES = 1024
_CONNECT_S = 5.0


class AsyncEdgeClient:
    """Split inference of one bundle with one server, for asyncio.

    `cloud`: HOST:PORT; may be None with the cut `edge`. `cut`: a cut's id, `cloud`, `edge`, or `auto`
    (the best of the plan, for `link` or for the link as measured). `codec`: None is raw for a given
    cut, and any for `auto`. `window`: frames at work at once. `timeout_s`: seconds until an answer
    counts as lost. `threads`: of the runtime. `on_failure`: when the cloud does not answer, or refuses,
    `finish` the frame here, or `fail`. `on_progress` hears what takes long while connecting.

    Connects when it is entered, or with the first frame. Raises BundleError, UsageError or
    UnknownNameError when made; UnreachableError and MismatchError when it connects.
    """

    def __init__(
        self,
        cloud: str | None,
        bundle: str | Path | Bundle,
        cut: str = defaults.CUT,
        *,
        codec: str | None = None,
        link: Link | None = None,
        window: int = defaults.WINDOW,
        timeout_s: float = defaults.TIMEOUT_S,
        threads: int = defaults.THREADS,
        on_failure: defaults.OnFailure = defaults.ON_FAILURE,
        on_progress: OnProgress = unheard,
    ) -> None:
        _check_numbers(window, timeout_s, on_failure)
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
        self.link = link
        """The link that `auto` planned with: given, or measured while connecting."""
        self.server: ServerInfo | None = None
        """What the server said of itself; None before it was asked."""
        self.window = window
        self.timeout_s = timeout_s
        self.on_failure = on_failure
        self._cut, self._codec = cut, codec
        self._choice = (
            None if cut == AUTO else choose(self.bundle, cut, codec, "chosen by the caller")
        )
        self._transport = GrpcTransport(cloud) if cloud else None
        if self._transport is None and cut != EDGE:
            raise UsageError(f"cut {cut!r} needs a server. Give cloud=HOST:PORT, or the cut edge.")
        self._runner = FrameRunner(Stages(self.bundle, RuntimeOptions(threads=threads)))
        self._device = ThreadPoolExecutor(1, thread_name_prefix="splitpoint-device")
        self._on_progress = on_progress
        self._frames = count()
        self._connecting = asyncio.Lock()
        self._connected = self._closed = False

    async def __aenter__(self) -> Self:
        try:
            await self.connect()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def choice(self) -> Choice:
        """The cut and the codec of the next frame, and why; UsageError before `auto` has connected."""
        if self._choice is None:
            raise UsageError("the cut is not chosen yet: auto chooses when the client connects.")
        return self._choice

    def set_option(self, cut: str, codec: str | None = None, reason: str = "") -> None:
        """Move the cut, from the next frame on; frames at work keep theirs.

        Raises UnknownNameError, UsageError, or TooLargeError when the server refuses such messages.
        """
        choice = choose(self.bundle, cut, codec, reason or "chosen by the caller")
        if self._transport is None and cut != EDGE:
            raise UsageError(f"cut {cut!r} needs a server, and this client was made without one.")
        self._check_size(choice)
        self._choice = choice

    async def connect(self) -> None:
        """Greet the server, choose the cut if it is `auto`, and load its head. Does nothing twice."""
        async with self._connecting:
            if self._connected:
                return
            if self._transport is not None and not self._is_local:
                await self._greet(self._transport)
            if self._choice is None:
                await asyncio.to_thread(self._choose)
            await self._on_device(self._runner.stages.warm, self.choice.cut.id)
            self._connected = True

    async def infer(self, inputs: Inputs) -> Result:
        """Run the model on `inputs`: one array, or arrays by name; [batch, …], or without the batch axis.

        Raises TensorError for wrong inputs, and with on_failure="fail" whatever the call came to, such
        as LateError or MismatchError; without, such a frame is finished here, and its reason says why.
        """
        arrived_at = perf_counter()
        await self.connect()
        return await self._infer(next(self._frames), inputs, arrived_at)

    async def stream(
        self,
        frames: Iterable[Inputs] | AsyncIterable[Inputs],
        on_error: Literal["raise", "result"] = "raise",
    ) -> AsyncGenerator[Result, None]:
        """Yield one result for each frame, in order, while the next heads run.

        A frame that fails raises in its place, or with on_error="result" becomes a Result that is
        served by none. What fails while connecting is raised in any case.
        """
        await self.connect()
        source = as_async(frames)

        async def run(index: int, inputs: Inputs) -> Result:
            arrived_at, choice = perf_counter(), self.choice
            try:
                return await self._infer(index, inputs, arrived_at)
            except SplitpointError as error:
                if on_error == "raise":
                    raise
                return self._runner.failed(index, arrived_at, choice, error)

        results = in_order(source, run, self.window)
        try:
            async for result in results:
                yield result
        finally:
            await results.aclose()
            if hasattr(source, "aclose"):
                await source.aclose()

    async def close(self) -> None:
        """Let go of the connection and of the device's thread. Does nothing twice."""
        self._closed = True
        if self._transport is not None:
            await self._transport.close()
        self._device.shutdown(wait=False, cancel_futures=True)

    def prepare(self, inputs: Inputs, arrived_at: float) -> Work:
        """Check one frame and run its head, in this thread; for callers that have one of their own."""
        return self._prepare(next(self._frames), inputs, arrived_at)

    def finish(self, work: Work) -> Result:
        """Return the result of a prepared frame of which nothing crosses."""
        return self._runner.finished_here(work)

    async def complete(self, work: Work) -> Result:
        """Bring a prepared frame to its result."""
        if work.message is None or self._transport is None:
            return self.finish(work)
        begun = perf_counter()
        try:
            return await self._call(self._transport, work, work.message)
        except SplitpointError as error:
            if self.on_failure == "fail":
                raise
            return await self._on_device(
                self._runner.finish_here, work, error, perf_counter() - begun
            )

    async def _call(self, transport: GrpcTransport, work: Work, message: bytes) -> Result:
        if self.server is None:  # moved away from the cut edge: nobody has asked yet
            async with self._connecting:
                if self.server is None:
                    await self._greet(transport)
        reply = await transport.call(work.request_id, message, self.timeout_s, work.leaves)
        return self._runner.answered(work, reply)

    async def _infer(self, frame: int, inputs: Inputs, arrived_at: float) -> Result:
        work: Work = await self._on_device(self._prepare, frame, inputs, arrived_at)
        return await self.complete(work)

    def _prepare(self, frame: int, inputs: Inputs, arrived_at: float) -> Work:
        checked = check_inputs(inputs, self.bundle.inputs)
        return self._runner.prepare(checked, frame, arrived_at, self.choice)

    async def _on_device(self, work: Callable[..., R], *arguments: object) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._device, work, *arguments)

    @property
    def _is_local(self) -> bool:
        return self._choice is not None and self._choice.cut.id == EDGE

    async def _greet(self, transport: GrpcTransport) -> None:
        self.server = await greet(transport.channel, transport.address, self.bundle, _CONNECT_S)
        transport.max_request_bytes = self.server.max_message_bytes
        if self._choice is not None:
            self._check_size(self._choice)

    def _check_size(self, choice: Choice) -> None:
        """Raise TooLargeError when one sample of the frontier would be over the server's limit."""
        if self.server is None:
            return
        needed = _HEADER_BYTES + sum(
            codec_for(choice.codec, spec).estimate_bytes(spec) for spec in choice.cut.frontier
        )
        if needed > self.server.max_message_bytes:
            raise TooLargeError(
                f"cut {choice.cut.id!r} sends about {needed} bytes a frame, and the server takes "
                f"{self.server.max_message_bytes}. Use another cut or codec, or raise its --max-message."
            )

    def _note(self, step: str, done: int, total: int) -> None:
        if self._closed:
            raise UsageError("the client was closed while it measured.")
        self._on_progress(step, done, total)

    def _choose(self) -> None:
        if self._transport is None:
            raise UsageError("the cut auto needs a server. Give cloud=HOST:PORT, or the cut edge.")
        found = choose_option(
            self.bundle,
            self._transport.address,
            self._runner.stages.options,
            link=self.link,
            codec=self._codec,
            max_message_bytes=self.server.max_message_bytes if self.server else None,
            on_progress=self._note,
        )
        self.link = found.link
        self._choice = choose(self.bundle, found.cut, found.codec, found.reason)


def _check_numbers(window: int, timeout_s: float, on_failure: str) -> None:
    if window < 1:
        raise UsageError(f"a window of {window} frames lets none through. Give 1 or more.")
    if not timeout_s > 0:
        raise UsageError(
            f"a timeout of {timeout_s} s leaves no time for an answer. Give more than 0."
        )
    if on_failure not in ("finish", "fail"):
        raise UsageError(f"on_failure={on_failure!r} is neither 'finish' nor 'fail'.")
