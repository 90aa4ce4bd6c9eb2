"""A live version: all parts of a client that belong to one version of its bundle.

A frame is begun by the parts of one version, and finished by the same: head, message, digest, fallback and
result are never a mixture. The client holds the version that frames begin on, and puts another one in its
place between two frames. What does not depend on the bundle is common to all versions of a client: the
connection, the thread of the device, and what was learnt of the link and of both machines.
"""

import asyncio
import math
import random
import weakref
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from time import perf_counter

from edge_client import defaults
from edge_client.client.completion import FrameCompletion
from edge_client.client.hedges import HedgeCounts
from edge_client.client.options import ClientOptions
from edge_client.client.pipeline import FramePipeline
from edge_client.client.session import CloudSession
from edge_client.cloud.servers import ServerMove
from edge_client.cloud.transport import GrpcTransport
from edge_client.control.cloud_watch import CloudWatch
from edge_client.control.controller import Controller
from edge_client.control.estimates import EdgeEstimates
from edge_client.control.listeners import Listeners
from edge_client.control.startup_plan import kept_device
from edge_client.frames.choice import Choice, choose
from edge_client.frames.compute_thread import ComputeThread
from edge_client.frames.head import HeadRunner
from edge_client.frames.slowdown import Slowdown
from edge_client.frames.stages import Stages
from edge_client.updates.device_check import DeviceCheck
from edge_client.updates.trial import VersionTally
from edge_client.updates.update_state import UpdateState
from partitioner.bundle.bundle import Bundle
from partitioner.estimators.circuit_breaker import Breaker
from partitioner.exits.ladder import check_threshold, ladder_for, parse_threshold
from partitioner.policy.settings import PolicySettings
from partitioner.profiles.carried import carry_profiles
from partitioner.runtime.sessions import RuntimeOptions
from protos.errors import MismatchError, SplitpointError, UnknownNameError, UsageError
from protos.names import EDGE


def _spread() -> float:
    """Return the share of a wait that is waited, so that a fleet does not come back as one."""
    return random.uniform(0.75, 1.0)  # noqa: S311 - no secret


@dataclass(frozen=True)
class CommonParts:
    """What all versions of a client share."""

    options: ClientOptions
    policy: PolicySettings
    transport: GrpcTransport | None
    learned: EdgeEstimates
    device: ComputeThread = field(default_factory=ComputeThread)
    breaker: Breaker = field(default_factory=lambda: Breaker(spread=_spread))
    frame_numbers: "count[int]" = field(default_factory=count)
    request_ids: "count[int]" = field(default_factory=count)
    fallbacks: Counter[str] = field(default_factory=Counter)
    hedges: HedgeCounts = field(default_factory=HedgeCounts)
    on_move: Listeners[Choice] = field(default_factory=Listeners)
    on_distrust: Listeners[MismatchError | None] = field(default_factory=Listeners)
    on_server: Listeners[ServerMove] = field(default_factory=Listeners)
    on_update: Listeners[UpdateState] = field(default_factory=Listeners)


class LiveVersion:
    """The stages, decisions, session and frames of one version. Raises BundleError, UsageError or
    UnknownNameError where the options of the client do not suit the bundle.
    """

    def __init__(self, bundle: Bundle, common: CommonParts) -> None:
        options = common.options
        self.bundle = bundle
        self._common = common
        runtime = RuntimeOptions(options.threads, options.provider)
        self.stages = Stages(bundle, runtime, options.memory_bytes, Slowdown(options.slow))
        if options.slow > 1 and (device := kept_device(bundle, runtime, options.slow)):
            self.stages.know(device)
        self.runner = HeadRunner(self.stages, common.request_ids)
        self.control = Controller(
            bundle, self.stages, common.breaker, common.policy, common.learned
        )
        self.session = CloudSession(
            bundle, options, common.transport, self.runner, common.breaker, self.control
        )
        self.completion = FrameCompletion(
            options,
            self.runner,
            common.device,
            common.transport,
            common.breaker,
            self.control,
            self.session.greet_once,
            fallbacks=common.fallbacks,
            hedges=common.hedges,
        )
        self.tally = VersionTally()
        """What its frames come to."""
        self.pipeline = FramePipeline(
            options,
            self.runner,
            common.device,
            self.control,
            self.completion,
            numbers=common.frame_numbers,
            tally=self.tally,
        )
        self._has_served = False
        self._first: Choice | None = None
        self.watch: CloudWatch | None = None
        """Watches the cloud while no frame goes there; None without a server."""
        if common.transport is not None:
            self.watch = CloudWatch(
                bundle, common.transport, common.breaker, self.control, self.session.is_back
            )
        self.watching: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<LiveVersion {self.bundle.digest[:12]} of {self.bundle.name}>"

    def answer_from(self, threshold: defaults.ExitThreshold) -> None:
        """Let exits answer early from this confidence; see AsyncEdgeClient.exit_threshold."""
        if isinstance(threshold, str):
            threshold = parse_threshold(threshold)
        elif threshold is not None:
            check_threshold(threshold)
        options = self._common.options
        exits = self.bundle.exits if threshold is None else self.bundle.known_exits()
        limits = options.deadline_s, options.latency_s, options.exit_floor
        self.control.expect_exits(ladder_for(exits, threshold, *limits))
        self.runner.answer_from(threshold)

    async def begin(self) -> None:
        """Greet the server, choose, load what the first frame runs, and watch the cloud from now on.

        Raises what CloudSession.begin does.
        """
        await self.session.begin()
        await self._warm(self.control.chosen())
        self._has_served = True
        self.attend()

    async def prepare(self, before: "LiveVersion") -> None:
        """Make all ready that the first frame needs, while frames go on with the version `before`.

        The server is asked for this version, a plan is made from what is known of the link, and the first
        head is loaded where both fit into the memory. Raises what keeps this version from being used here,
        among it UsageError where it takes other inputs or gives other outputs.
        """
        _check_same_use(before.bundle, self.bundle)
        self._heed_caller(before)
        self.control.heed(before.control.power_demand)
        await asyncio.to_thread(carry_profiles, before.bundle, self.bundle)
        link = self._common.learned.link or before.session.link
        self._first = first = await self.session.plan_ahead(link)
        if self.stages.fits_beside(before.stages, first.cut.id):
            await self._warm(first)

    def _heed_caller(self, before: "LiveVersion") -> None:
        """Keep to the exits and the cut that the caller has chosen; raises what is wrong with them here."""
        if (threshold := before.runner.exit_threshold) != self.runner.exit_threshold:
            self.answer_from(threshold)
        if before.session.is_overruled:
            told = before.control.chosen()
            choice = choose(self.bundle, told.cut.id, told.codec.name, told.reason)
            self.session.overrule(choice)

    async def check(self) -> None:
        """Check on this device, and with the cloud, what was prepared; raises what DeviceCheck.run does."""
        if self._first is not None:
            common = self._common
            # A standard server has been compared by its greeting, and may lack the models of the check.
            is_plain = self.session.server is not None and self.session.server.plain is not None
            transport = None if is_plain else common.transport
            check = DeviceCheck(self.stages, transport, common.request_ids)
            await check.run(self._first)

    def take_over(self, before: "LiveVersion") -> None:
        """Begin the next frame where `before` has begun the last one. Called in the event loop.

        Raises what the caller has chosen since `prepare` and this version does not have. Who comes back
        goes on with what it has then.
        """
        common = self._common
        try:
            self._heed_caller(before)
        except SplitpointError:
            if not self._has_served:
                raise
        before.pipeline.lookahead.end_pause()
        self.stages.make_way(before.stages)
        self.control.heed(before.control.power_demand)
        self.control.count_on_from(before.control)
        self.completion.wait_at_most(before.completion.timeout_s)
        common.learned.forget_options()
        self.session.follow_ahead()
        self.hear()
        if before.control.distrusts is not self.control.distrusts:
            common.on_distrust.tell(self.control.distrusts)
        if self.session.server is not None:
            if isinstance(common.breaker.error, MismatchError | UnknownNameError):
                common.breaker.succeeded()  # of this version that was not so
            common.breaker.hurry(perf_counter())  # and what kept the one before away may not be so
        if self.watch is not None and before.watch is not None:
            self.watch.count_on_from(before.watch)
        if not self._has_served:  # who comes back has nobody to turn to
            self.pipeline.instead = weakref.ref(before.pipeline)
        self._has_served = True

    def hear(self) -> None:
        """Let those who listen to the client hear of this version's moves."""
        self.control.on_move = self._common.on_move
        self.control.on_distrust = self._common.on_distrust

    def attend(self) -> None:
        """Watch the cloud for this version, from now on."""
        if self.watch is not None and self.watching is None:
            self.watching = asyncio.create_task(self._watch(self.watch))

    async def _watch(self, watch: CloudWatch) -> None:
        await self.session.look_on()
        await watch.run()

    async def neglect(self) -> None:
        """Watch the cloud no more; frames in flight are not touched."""
        watching, self.watching = self.watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        if self.watch is not None:
            await self.watch.close()

    async def close(self) -> None:
        """Give up what goes on for this version beside frames. Does nothing twice."""
        self.session.end()
        self.pipeline.lookahead.end_pause()
        await self.neglect()
        await self.completion.close()
        self.stages.close()

    async def _warm(self, choice: Choice) -> None:
        """Load the head of a choice, and with a deadline its tail."""
        device, cut_id = self._common.device, choice.cut.id
        await device.run(-math.inf, partial(self.runner.warm, choice))
        if self._common.options.deadline_s is not None and cut_id != EDGE:
            await device.run(-math.inf, partial(self.stages.rehearse_tail, cut_id))


def _check_same_use(before: Bundle, after: Bundle) -> None:
    """Raise unless whoever uses one bundle can use the other in its place."""
    if before.name != after.name:
        raise MismatchError(
            f"{after.path} is a bundle {after.name!r}, and this edge runs {before.name!r}. Offer a version "
            "of that one."
        )
    for what, old, new in (
        ("takes", before.inputs, after.inputs),
        ("gives", before.outputs, after.outputs),
    ):
        if old != new:
            raise UsageError(
                f"version {after.digest[:12]}… of {after.name!r} {what} {_listed(new)}, and the one in use "
                f"({before.digest[:12]}…) {what} {_listed(old)}. Who uses it would break: give the new model "
                "a name of its own."
            )
    if before.heads_only != after.heads_only:
        raise SplitpointError("a head-only bundle and a whole one cannot take each other's place.")


def _listed(specs: tuple[object, ...]) -> str:
    return ", ".join(map(str, specs))
