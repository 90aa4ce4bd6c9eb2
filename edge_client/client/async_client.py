"""AsyncEdgeClient: split inference of one bundle with one server, in an event loop."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from time import perf_counter
from types import TracebackType
from typing import Self

from edge_client import defaults
from edge_client.client.completion import FrameCompletion
from edge_client.client.feed import Source
from edge_client.client.hedges import HedgeCounts
from edge_client.client.options import ClientOptions
from edge_client.client.pipeline import FramePipeline, OnError
from edge_client.client.session import CloudSession
from edge_client.cloud.absence import say_absence
from edge_client.cloud.greeting import ServerInfo, report_telemetry
from edge_client.cloud.transport import GrpcTransport
from edge_client.control.cloud_watch import CloudWatch, LookCounts
from edge_client.control.controller import Controller
from edge_client.control.power_watch import FIXED, PowerWatch, why_unweighed
from edge_client.control.startup_plan import kept_device
from edge_client.frames.choice import Choice, choose
from edge_client.frames.compute_thread import ComputeThread
from edge_client.frames.head import HeadRunner
from edge_client.frames.inputs import Inputs
from edge_client.frames.result import Result
from edge_client.frames.slowdown import Slowdown
from edge_client.frames.stages import Stages
from partitioner.common.arguments import need
from partitioner.estimators.circuit_breaker import Breaker, Circuit
from partitioner.exits.ladder import check_threshold, ladder_for, parse_threshold
from partitioner.network.link import Link
from partitioner.planning.objective import Objective
from partitioner.planning.terms import NO_TERMS, Terms
from partitioner.policy.settings import PolicySettings
from partitioner.runtime.sessions import RuntimeOptions
from partitioner.settings.declaration import spelled_out
from protos.errors import SplitpointError, UsageError
from protos.names import EDGE


class AsyncEdgeClient:
    """Split inference of one bundle with one server, for asyncio. ClientOptions lists what it takes.

    On a device with a head-only bundle there is no cut `edge`, and nothing to finish frames with: what the
    cloud fails gets the answer of the exit at its cut, however unsure, and without one a Result that is
    served by none.

    Connects when it is entered, or with the first frame. A cloud that is away then is looked for while
    frames are finished here, and so is one that has another version of the bundle, or lacks it. Raises
    BundleError, UsageError or UnknownNameError when made, and FileError where a source of `power` cannot be
    read; when it connects, with `strict` or on_failure="fail", what keeps the cloud from being used:
    NetworkError, UnknownNameError or a ServerError such as MismatchError.
    """

    @spelled_out(ClientOptions)
    def __init__(self, options: ClientOptions) -> None:
        terms = options.terms or NO_TERMS
        need("terms", terms, Terms, wanted="Terms, of partitioner.planning.terms")
        self.bundle = options.load_bundle()
        self.options = options
        self.window, self.deadline_s = options.window, options.deadline_s
        self._transport = GrpcTransport(options.cloud) if options.cloud else None
        if self._transport is None and options.strict:
            raise UsageError("`strict` needs a server. Give `cloud` HOST:PORT, or leave it out.")
        if self._transport is None and (options.cut != EDGE or options.adapts):
            if options.cut == EDGE:
                raise UsageError("`adapt` needs a server. Give `cloud` HOST:PORT, or do not adapt.")
            other = "" if self.bundle.heads_only else ", or `cut` edge"
            raise UsageError(
                f"`cut` {options.cut!r} needs a server. Give `cloud` HOST:PORT{other}."
            )
        runtime = RuntimeOptions(options.threads, options.provider)
        stages = Stages(self.bundle, runtime, options.memory_bytes, Slowdown(options.slow))
        if options.slow > 1 and (device := kept_device(self.bundle, runtime, options.slow)):
            stages.know(device)
        self._runner = HeadRunner(stages)
        self._device, self._breaker = ComputeThread(), Breaker()
        policy = PolicySettings(
            objective=Objective.of(options.objective),
            terms=terms,
            deadline_s=options.deadline_s,
            latency_s=options.latency_s,
            window=options.window,
            hedging=options.hedging,
        )
        self.control = Controller(self.bundle, stages, self._breaker, policy)
        """Decides on cuts, and keeps the estimates of the link and of loads."""
        self._meeting = CloudSession(
            self.bundle, options, self._transport, stages, self._breaker, self.control
        )
        self._completer = FrameCompletion(
            options,
            self._runner,
            self._device,
            self._transport,
            self._breaker,
            self.control,
            self._meeting.greet_once,
        )
        self.exit_threshold = options.exit_threshold
        self.pipeline = FramePipeline(
            options, self._runner, self._device, self.control, self._completer
        )
        """Takes frames from their inputs to their results."""
        self._connecting = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self.watch: CloudWatch | None = None
        """Watches the cloud while no frame goes there; None without a server."""
        if self._transport is not None:
            self.watch = CloudWatch(
                self.bundle, self._transport, self._breaker, self.control, self._meeting.is_back
            )
        self.power: PowerWatch | None = None
        """Watches battery and heat; None unless it was asked for."""
        if options.power is not None:
            unweighed = why_unweighed(policy, adapts=options.adapts)
            self.power = PowerWatch(options.power, self.control.heed, unweighed=unweighed)
        self._powering: asyncio.Task[None] | None = None
        self._connected = False

    @classmethod
    def of(cls, options: ClientOptions) -> Self:
        """Return a client with all of these options."""
        return cls(**vars(options))

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

    def __repr__(self) -> str:
        where = "no server" if self._transport is None else self._transport.address
        state = "answers too late" if self.answers_late else "is away"
        away = f", which {state}" if self.cloud_is_away else ""
        now = "not connected yet" if self.control.current is None else self.control.current.label
        link = f" on {self.link}" if self.link else ""
        return f"<AsyncEdgeClient of {self.bundle.name} with {where}{away}: {now}{link}>"

    @property
    def choice(self) -> Choice:
        """The cut and the codec of the next frame, and why; UsageError before `auto` has connected."""
        return self.control.chosen()

    @property
    def server(self) -> ServerInfo | None:
        """The server's answer to the greeting; None before it was greeted."""
        return self._meeting.server

    @property
    def link(self) -> Link | None:
        """The link as it is believed to be: given, measured while connecting, or followed since.

        None while it is only a guess, as no server has answered yet.
        """
        if self._meeting.link is None and not self.control.learned.has_seen_link:
            return None
        return self.control.learned.link or self._meeting.link

    @property
    def link_is_measured(self) -> bool:
        """True once `link` rests on what was seen of it, and not on what was given alone."""
        return self.options.link is None or self.control.learned.has_seen_link

    @property
    def trouble(self) -> SplitpointError | None:
        """The cloud's last failure, or the mismatch of its calibration; None while all is well."""
        return self._breaker.error or self.control.distrusts

    @property
    def fallbacks(self) -> Counter[str]:
        """Frames that the cloud was meant to serve and did not, by what it failed with."""
        return self._completer.fallbacks

    @property
    def hedges(self) -> HedgeCounts:
        """What came of the frames that this device began to finish, too, as the cloud was late."""
        return self._completer.hedges

    @property
    def looks(self) -> LookCounts:
        """How often the link was looked at, by frames that tried another option and by probes."""
        return LookCounts() if self.watch is None else self.watch.looks

    @property
    def cloud_is_away(self) -> bool:
        """True while the cloud is not asked, since it has failed and no probe has got through yet."""
        return self._breaker.circuit is Circuit.OPEN

    @property
    def absence(self) -> str:
        """Why the cloud is not asked while it is away, as a clause: `the cloud refuses connections`."""
        return (
            "the cloud answers too late" if self.answers_late else say_absence(self._breaker.error)
        )

    @property
    def answers_late(self) -> bool:
        """True while the cloud answers, and frames only after they have been given up."""
        return self._breaker.answers_late

    @property
    def takes_telemetry(self) -> bool:
        """True while there is a server of our own that may be told what was observed."""
        server = self.server
        return server is not None and bool(server.version) and not self.cloud_is_away

    @property
    def switches(self) -> int:
        """The number of times that the policy has moved the cut."""
        return self.control.switches

    @property
    def timeout_s(self) -> float:
        """Seconds until an answer counts as lost."""
        return self._completer.timeout_s

    @timeout_s.setter
    def timeout_s(self, seconds: float) -> None:
        self._completer.wait_at_most(seconds)

    @property
    def exit_threshold(self) -> defaults.ExitThreshold:
        """Confidence from which an exit answers early: `own` is each exit's own; None: none does.

        `auto`: within a latency or a deadline, while the cut adapts, the policy moves it; else `own`.
        May be set at any time, for the frames to come; the policy counts on it. Raises UsageError for
        what is no confidence, and in a bundle without exits.
        """
        return self._runner.exit_threshold

    @exit_threshold.setter
    def exit_threshold(self, threshold: defaults.ExitThreshold) -> None:
        if isinstance(threshold, str):
            threshold = parse_threshold(threshold)
        elif threshold is not None:
            check_threshold(threshold)
        exits = self.bundle.exits if threshold is None else self.bundle.known_exits()
        limits = self.options.deadline_s, self.options.latency_s, self.options.exit_floor
        ladder = ladder_for(exits, threshold, *limits)
        self.control.expect_exits(ladder)
        self._runner.answer_from(threshold)

    @property
    def exits_from(self) -> float | None:
        """Confidence from which the exit at the next frame's cut answers early; None: none does there."""
        return self._runner.exits_from(self.choice)

    def set_option(self, cut: str, codec: str | None = None, reason: str = "") -> None:
        """Move the cut, from the next frame on, and keep it there; frames at work keep theirs.

        Raises UnknownNameError, UsageError, BundleError for a cut that a head-only bundle does not hold, or
        TooLargeError when the server refuses such messages.
        """
        choice = choose(self.bundle, cut, codec, reason or "chosen by the caller")
        if self._transport is None and cut != EDGE:
            raise UsageError(f"cut {cut!r} needs a server, and this client was made without one.")
        self._meeting.check_size(choice)
        self._meeting.overrule(choice)
        if self.power is not None:
            self.power.weigh(FIXED)

    async def connect(self) -> None:
        """Greet the server, choose the cut if it is `auto`, and load its head. Does nothing twice."""
        async with self._connecting:
            if self._connected:
                return
            await self._meeting.begin()
            stages, cut_id = self._runner.stages, self.choice.cut.id
            await self._device.run(-math.inf, partial(self._runner.warm, self.choice))
            if self.deadline_s is not None and cut_id != EDGE:
                await self._device.run(-math.inf, partial(stages.rehearse_tail, cut_id))
            if self.watch is not None:
                self._watching = asyncio.create_task(self.watch.run())
            if self.power is not None:
                self._powering = asyncio.create_task(self.power.run())
            self._connected = True

    async def infer(
        self,
        inputs: Inputs,
        *,
        arrived_at: float | None = None,
        on_error: OnError = "raise",
    ) -> Result:
        """Run the model on `inputs`: one array or arrays by name, [batch, …] or without the batch axis; an
        image of PIL; or the path of an image, an .npy or an .npz. Images are resized to what the model takes.

        `arrived_at`: when the frame came, by perf_counter; its deadline and latency count from there
        (None: now). Raises TensorError or SourceError for wrong inputs, and with on_failure="fail" what the
        call came to, such as LateError or MismatchError; without, such a frame is finished here, and its
        reason says why. With on_error="result" what would be raised is a Result that is served by none,
        as is any frame that neither cloud, exit nor edge could answer in time.
        """
        arrived_at = perf_counter() if arrived_at is None else arrived_at
        await self.connect()
        return await self.pipeline.infer(inputs, arrived_at, on_error)

    async def stream(
        self,
        frames: Source,
        on_error: OnError = "raise",
    ) -> AsyncGenerator[Result, None]:
        """Yield one result for each frame, in order, while the next heads run.

        `frames`: what `infer` takes, again and again; or a source as for `splitpoint-edge run`: a folder, a
        file, a video, a camera's number.
        A frame that fails raises in its place, or with on_error="result" becomes a Result that is
        served by none. What fails while connecting is raised in any case.
        A frame is taken when there is room in the window, and with a deadline only when the device is free.
        """
        await self.connect()
        most_fps = None if self.power is None else self.power.most_fps
        async with aclosing(self.pipeline.stream(frames, on_error, most_fps)) as results:
            async for result in results:
                yield result

    async def close(self) -> None:
        """Let go of the connections and of the device's threads. Does nothing twice."""
        self._meeting.end()
        self.pipeline.lookahead.end_pause()
        for task in filter(None, (self._watching, self._powering)):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self.watch is not None:
            await self.watch.close()
        await self._completer.close()
        if self._transport is not None:
            await self._transport.end()
        self._device.close()
        self._runner.stages.close()

    async def report(self, snapshots: Sequence[str]) -> None:
        """Tell the cloud what was observed: documents of protos/telemetry.py in JSON, the oldest first.

        Raises UsageError without a server, UnreachableError when it does not answer, and what it refuses
        them with.
        """
        if self._transport is None:
            raise UsageError("this client was made without a server, so there is nobody to tell.")
        await report_telemetry(self._transport.channel, self._transport.address, snapshots)
