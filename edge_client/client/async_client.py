"""AsyncEdgeClient: split inference of one bundle with one server, in an event loop."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from time import perf_counter
from types import TracebackType
from typing import Self

from edge_client import defaults
from edge_client.client.feed import Source
from edge_client.client.hedges import HedgeCounts
from edge_client.client.live_version import CommonParts, LiveVersion
from edge_client.client.options import OFF, ClientOptions
from edge_client.client.pipeline import FramePipeline, OnError, stream_frames
from edge_client.client.version_keeper import VersionKeeper
from edge_client.cloud.absence import say_absence
from edge_client.cloud.greeting import ServerInfo, report_telemetry
from edge_client.cloud.servers import ServerMove
from edge_client.cloud.transport import GrpcTransport
from edge_client.control.cloud_watch import CloudWatch, LookCounts
from edge_client.control.controller import Controller
from edge_client.control.estimates import EdgeEstimates
from edge_client.control.listeners import Listeners
from edge_client.control.power_watch import FIXED, PowerWatch, why_unweighed
from edge_client.frames.choice import Choice, choose
from edge_client.frames.inputs import Inputs
from edge_client.frames.result import Result
from edge_client.updates.update_state import UpdateState
from partitioner.bundle.bundle import Bundle
from partitioner.common.arguments import need
from partitioner.estimators.circuit_breaker import Circuit
from partitioner.network.link import Link
from partitioner.planning.objective import Objective
from partitioner.planning.terms import NO_TERMS, Terms
from partitioner.policy.power_rules import PowerDemand
from partitioner.policy.settings import PolicySettings
from partitioner.settings.declaration import spelled_out
from protos.errors import MismatchError, SplitpointError, UsageError
from protos.names import EDGE


class AsyncEdgeClient:
    """Split inference of one bundle with one server, for asyncio. ClientOptions lists what it takes.

    On a device with a head-only bundle there is no cut `edge`, and nothing to finish frames with: what the
    cloud fails gets the answer of the exit at its cut, however unsure, and without one a Result that is
    served by none.

    Connects when it is entered, or with the first frame. A cloud that is away then is looked for while
    frames are finished here, and so is one that has another version of the bundle, or lacks it. Raises
    BundleError, UsageError or UnknownNameError when made, and FileError where a source of `power` cannot be
    read; when it connects, FileError where the release of a signed bundle cannot be remembered, and with
    `strict` or on_failure="fail" what keeps the cloud from being used: NetworkError, UnknownNameError or a
    ServerError such as MismatchError.
    """

    @spelled_out(ClientOptions)
    def __init__(self, options: ClientOptions) -> None:
        terms = options.terms or NO_TERMS
        need("terms", terms, Terms, wanted="Terms, of partitioner.planning.terms")
        bundle = options.load_bundle()
        self.options = options
        self.window, self.deadline_s = options.window, options.deadline_s
        self._transport = GrpcTransport(options.servers) if options.cloud else None
        if self._transport is None and options.strict:
            raise UsageError("`strict` needs a server. Give `cloud` HOST:PORT, or leave it out.")
        if self._transport is None and (options.cut != EDGE or options.adapts):
            if options.cut == EDGE:
                raise UsageError("`adapt` needs a server. Give `cloud` HOST:PORT, or do not adapt.")
            other = "" if bundle.heads_only else ", or `cut` edge"
            raise UsageError(
                f"`cut` {options.cut!r} needs a server. Give `cloud` HOST:PORT{other}."
            )
        policy = PolicySettings(
            objective=Objective.of(options.objective),
            terms=terms,
            deadline_s=options.deadline_s,
            latency_s=options.latency_s,
            window=options.window,
            hedging=options.hedging,
        )
        self._common = CommonParts(options, policy, self._transport, EdgeEstimates(policy))
        if self._transport is not None:
            self._transport.servers.on_move = self._common.on_server.tell
        self.version = LiveVersion(bundle, self._common)
        """The version of the bundle that frames begin on."""
        self.version.hear()
        self.exit_threshold = options.exit_threshold
        self._connecting, self._swapping = asyncio.Lock(), asyncio.Lock()
        self.power: PowerWatch | None = None
        """Watches battery and heat; None unless it was asked for."""
        if options.power is not None:
            unweighed = why_unweighed(policy, adapts=options.adapts)
            self.power = PowerWatch(options.power, self._heed, unweighed=unweighed)
        self._powering: asyncio.Task[None] | None = None
        self.keeper: VersionKeeper[LiveVersion] | None = None
        """Follows what versions the cloud offers; None unless that was asked for."""
        if options.updates != OFF and self._transport is not None:
            self.keeper = VersionKeeper(self, options, self._transport, self._common)
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
    def bundle(self) -> Bundle:
        """The bundle that runs: the version of it on which the next frame begins."""
        return self.version.bundle

    @property
    def control(self) -> Controller:
        """Decides on cuts, and keeps the estimates of the link and of loads."""
        return self.version.control

    @property
    def pipeline(self) -> FramePipeline:
        """Takes frames from their inputs to their results; who begins one there finishes it there."""
        return self.version.pipeline

    @property
    def watch(self) -> CloudWatch | None:
        """Watches the cloud while no frame goes there; None without a server."""
        return self.version.watch

    @property
    def on_move(self) -> Listeners[Choice]:
        """Hear where each move of the policy leads, whatever the version."""
        return self._common.on_move

    @property
    def update_state(self) -> UpdateState:
        """Where this device stands with the version that the cloud has offered last."""
        return UpdateState() if self.keeper is None else self.keeper.updater.state

    @property
    def on_update(self) -> Listeners[UpdateState]:
        """Hear what becomes of versions that the cloud offers."""
        return self._common.on_update

    @property
    def on_server(self) -> Listeners[ServerMove]:
        """Hear of moves from one server of the cloud to another."""
        return self._common.on_server

    @property
    def server_in_use(self) -> str | None:
        """The address of the server that is asked, of several; None where there is no choice."""
        several = self._transport is not None and len(self._transport.servers) > 1
        return self._transport.address if self._transport is not None and several else None

    @property
    def on_distrust(self) -> Listeners[MismatchError | None]:
        """Hear what becomes wrong with the cloud's calibration, and None when it no longer is."""
        return self._common.on_distrust

    @property
    def choice(self) -> Choice:
        """The cut and the codec of the next frame, and why; UsageError before `auto` has connected."""
        return self.control.chosen()

    @property
    def server(self) -> ServerInfo | None:
        """The server's answer to the greeting; None before it was greeted."""
        return self.version.session.server

    @property
    def link(self) -> Link | None:
        """The link as it is believed to be: given, measured while connecting, or followed since.

        None while it is only a guess, as no server has answered yet.
        """
        if self.version.session.link is None and not self.control.learned.has_seen_link:
            return None
        return self.control.learned.link or self.version.session.link

    @property
    def link_is_measured(self) -> bool:
        """True once `link` rests on what was seen of it, and not on what was given alone."""
        return self.options.link is None or self.control.learned.has_seen_link

    @property
    def trouble(self) -> SplitpointError | None:
        """The cloud's last failure, or the mismatch of its calibration; None while all is well."""
        return self._common.breaker.error or self.control.distrusts

    @property
    def fallbacks(self) -> Counter[str]:
        """Frames that the cloud was meant to serve and did not, by what it failed with."""
        return self._common.fallbacks

    @property
    def hedges(self) -> HedgeCounts:
        """What came of the frames that this device began to finish, too, as the cloud was late."""
        return self._common.hedges

    @property
    def looks(self) -> LookCounts:
        """How often the link was looked at, by frames that tried another option and by probes."""
        return LookCounts() if self.watch is None else self.watch.looks

    @property
    def cloud_is_away(self) -> bool:
        """True while the cloud is not asked, since it has failed and no probe has got through yet."""
        return self._common.breaker.circuit is Circuit.OPEN

    @property
    def absence(self) -> str:
        """Why the cloud is not asked while it is away, as a clause: `the cloud refuses connections`."""
        return (
            "the cloud answers too late"
            if self.answers_late
            else say_absence(self._common.breaker.error)
        )

    @property
    def answers_late(self) -> bool:
        """True while the cloud answers, and frames only after they have been given up."""
        return self._common.breaker.answers_late

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
        return self.version.completion.timeout_s

    @timeout_s.setter
    def timeout_s(self, seconds: float) -> None:
        self.version.completion.wait_at_most(seconds)

    @property
    def exit_threshold(self) -> defaults.ExitThreshold:
        """Confidence from which an exit answers early: `own` is each exit's own; None: none does.

        `auto`: within a latency or a deadline, while the cut adapts, the policy moves it; else `own`.
        May be set at any time, for the frames to come; the policy counts on it. Raises UsageError for
        what is no confidence, and in a bundle without exits.
        """
        return self.version.runner.exit_threshold

    @exit_threshold.setter
    def exit_threshold(self, threshold: defaults.ExitThreshold) -> None:
        self.version.answer_from(threshold)

    @property
    def exits_from(self) -> float | None:
        """Confidence from which the exit at the next frame's cut answers early; None: none does there."""
        return self.version.runner.exits_from(self.choice)

    def set_option(self, cut: str, codec: str | None = None, reason: str = "") -> None:
        """Move the cut, from the next frame on, and keep it there; frames at work keep theirs.

        Raises UnknownNameError, UsageError, BundleError for a cut that a head-only bundle does not hold, or
        TooLargeError when the server refuses such messages.
        """
        choice = choose(self.bundle, cut, codec, reason or "chosen by the caller")
        if self._transport is None and cut != EDGE:
            raise UsageError(f"cut {cut!r} needs a server, and this client was made without one.")
        self.version.session.check(choice)
        self.version.session.overrule(choice)
        if self.power is not None:
            self.power.weigh(FIXED)

    async def connect(self) -> None:
        """Greet the server, choose the cut if it is `auto`, and load its head. Does nothing twice."""
        async with self._connecting:
            if self._connected:
                return
            await self.version.begin()
            await asyncio.to_thread(self.options.device_trust.remember, self.bundle)
            if self.power is not None:
                self._powering = asyncio.create_task(self.power.run())
            if self.keeper is not None:
                self.keeper.begin()
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
        results = stream_frames(lambda: self.pipeline, frames, on_error, most_fps)
        async with aclosing(results):
            async for result in results:
                yield result

    async def close(self) -> None:
        """Let go of the connections and of the device's threads. Does nothing twice."""
        if self._powering is not None:
            self._powering.cancel()
            await asyncio.gather(self._powering, return_exceptions=True)
        if self.keeper is not None:
            await self.keeper.close()
        await self.version.close()
        if self._transport is not None:
            await self._transport.end()
        self._common.device.close()

    async def prepare_version(self, bundle: Bundle) -> LiveVersion:
        """Make another version of the bundle ready, while frames go on with the one in use.

        Raises what keeps it from being used here, such as MismatchError where the server lacks it, and
        SignatureError where it is not signed as asked, or older than what has run on this device. Whoever
        keeps to the new version has `options.device_trust.remember` it.
        """
        await asyncio.to_thread(self.options.device_trust.check, bundle)
        await self.connect()
        made = LiveVersion(bundle, self._common)
        try:
            await made.prepare(self.version)
        except BaseException:
            await made.close()
            raise
        return made

    async def check_version(self, version: LiveVersion) -> None:
        """Check a version that was prepared; raises BundleError for one that must not be used."""
        await version.check()

    async def swap_to(self, version: LiveVersion) -> LiveVersion:
        """Begin the next frame with another version; return the one before, on which frames may still end.

        It stays as it is, to come back to, until its `close`.
        """
        async with self._swapping:
            before = self.version
            if version is before:
                return before
            version.take_over(before)
            self.version = version
            await before.neglect()
            version.attend()
        return before

    def _heed(self, power_demand: PowerDemand) -> None:
        self.control.heed(power_demand)

    async def report(self, snapshots: Sequence[str]) -> None:
        """Tell the cloud what was observed: documents of protos/telemetry.py in JSON, the oldest first.

        Raises UsageError without a server, UnreachableError when it does not answer, and what it refuses
        them with.
        """
        if self._transport is None:
            raise UsageError("this client was made without a server, so there is nobody to tell.")
        await report_telemetry(self._transport.channel, self._transport.endpoint, snapshots)
