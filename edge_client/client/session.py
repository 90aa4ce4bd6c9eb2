"""The session with a server: greet it, plan with it, or go on alone."""

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from time import perf_counter

from edge_client.client.options import AUTO, ClientOptions
from edge_client.cloud.absence import ABSENCES, say_absence
from edge_client.cloud.greeting import ServerInfo, check_calibration, greet
from edge_client.cloud.greeting_race import CONNECT_S, greet_any
from edge_client.cloud.plain.plain_server import PlainServer
from edge_client.cloud.transport import GrpcTransport
from edge_client.control.controller import Controller
from edge_client.control.offer import Limits
from edge_client.control.plain_plan import plan_with_plain_server
from edge_client.control.startup_plan import best_of, plan_with_cloud, plan_without_cloud
from edge_client.frames.choice import Choice, choose
from edge_client.frames.head import HeadRunner
from partitioner.bundle.bundle import Bundle
from partitioner.common.units import plural
from partitioner.estimators.circuit_breaker import Breaker
from partitioner.network.link import Link
from partitioner.planning.option import Option
from partitioner.planning.plan import Plan
from partitioner.policy.last_resort import best_alone, cut_alone
from partitioner.policy.power_rules import NO_POWER_DEMAND, PowerDemand
from protos.codecs.registry import codec_for
from protos.errors import (
    CalibrationError,
    MismatchError,
    SplitpointError,
    TooLargeError,
    UnknownNameError,
    UnreachableError,
    UsageError,
)
from protos.names import EDGE, plain_model_name

_HEADER_BYTES = 1024
_ALONE_AFTER_S = 2.0
"""At the start a server that is silent for so long is waited for beside the frames."""


@dataclass(frozen=True)
class _Planned:
    """A plan, and the option to begin with: why, and under which demand of the power rules."""

    plan: Plan
    option: Option
    reason: str
    heeded: PowerDemand = NO_POWER_DEMAND

    def choice(self, bundle: Bundle) -> Choice:
        chosen = choose(bundle, self.option.cut, self.option.codec, self.reason)
        return replace(chosen, option=self.option)


def _closed() -> UsageError:
    return UsageError("the client was closed before it had greeted the server.")


def _silent(transport: GrpcTransport) -> UnreachableError:
    said = f"no server has answered yet at {transport.servers}"
    return UnreachableError(f"{said}. Check the network, or wait: it is looked for meanwhile.")


class CloudSession:
    """Greets the server, at first or once it is back, plans, and gives the controller a choice or a plan."""

    def __init__(
        self,
        bundle: Bundle,
        options: ClientOptions,
        transport: GrpcTransport | None,
        runner: HeadRunner,
        breaker: Breaker,
        control: Controller,
    ) -> None:
        self.server: ServerInfo | None = None
        self.link = options.known_link
        self._bundle = bundle
        self._options = options
        self._transport = transport
        self._runner, self._stages = runner, runner.stages
        self._breaker = breaker
        self._control = control
        self._greeting = asyncio.Lock()
        self._looking: asyncio.Task[None] | None = None
        self._planned = self._ended = self._overruled = False
        self._deciding = Lock()
        self._ahead: _Planned | None = None
        if options.cut != AUTO:
            control.stay_at(choose(bundle, options.cut, options.codec, "chosen by the caller"))

    async def begin(self) -> None:
        """Greet the server and choose; without one of this bundle, go on alone until `is_back` is called.

        Servers that are silent are not waited for: `look_on` does that beside the frames. With `strict` or
        on_failure="fail" they are, and it raises what keeps the cloud from being used now: NetworkError,
        UnknownNameError, or a ServerError such as MismatchError (it has another version of the bundle) and
        OverloadedError (it measures for another edge).
        """
        options = self._options
        if self._transport is None or not (options.adapts or options.strict or options.cut != EDGE):
            return
        needs_cloud = options.strict or options.on_failure == "fail"
        self._looking = looking = asyncio.create_task(self.greet_once())
        try:
            await asyncio.wait((looking,), timeout=None if needs_cloud else _ALONE_AFTER_S)
            if not looking.done():
                raise _silent(self._transport)
            self._looking = None
            if looking.cancelled():
                raise _closed()
            looking.result()
            if self._wants_plan:
                await asyncio.to_thread(self._choose)
        except ABSENCES as error:
            if needs_cloud:
                raise
            self._breaker.trip(error, perf_counter())
            if self._wants_plan:
                await asyncio.to_thread(self._choose_alone)

    async def look_on(self) -> None:
        """Wait for the first greeting, if frames have begun without it, and take note of what comes of it."""
        if (looking := self._looking) is None:
            return
        try:
            await looking
            if self._wants_plan:
                await asyncio.to_thread(self._choose)
        except SplitpointError as error:
            self._breaker.trip(error, perf_counter())
        else:
            self._breaker.probed(None, perf_counter())
        finally:
            self._looking = None

    async def greet_once(self) -> None:
        """Greet the server, unless that was done; UsageError when `end` comes first."""
        if self.server is not None or self._transport is None:
            return
        async with self._greeting:
            if self._ended:
                raise _closed()
            if self.server is None:
                self._welcome(await self._greet_any(self._transport))

    async def _greet_any(self, transport: GrpcTransport) -> ServerInfo:
        try:
            return await greet_any(transport, self._bundle)
        finally:
            self._breaker.has_others = len(transport.servers) > 1

    async def _greet_in_use(self, transport: GrpcTransport) -> ServerInfo:
        """Greet the server in use; MismatchError also where it has no bundle of this name: another may."""
        try:
            return await greet(transport.channel, transport.endpoint, self._bundle, CONNECT_S)
        except UnknownNameError as error:
            raise MismatchError(str(error)) from error

    @property
    def is_overruled(self) -> bool:
        """True once the caller has moved the cut, which stays there."""
        return self._overruled

    async def plan_ahead(self, link: Link | None) -> Choice:
        """Greet the server in use and plan for a version that is not yet, on `link` where that is known.

        Return the choice that it begins with once `follow_ahead` is called. Raises what keeps the cloud from
        serving this version.
        """
        self.link = self.link if link is None else link
        if self.server is None and (transport := self._transport) is not None:
            # No other server, and no new connection: frames of the version in use are on their way.
            self._welcome(await self._greet_in_use(transport))
        if self._wants_plan:
            self._ahead = await asyncio.to_thread(self._plan)
            return self._ahead.choice(self._bundle)
        return self._control.chosen()

    def follow_ahead(self) -> None:
        """Follow the plan that was made ahead, if one was."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            self._settle(ahead, continues=True)

    async def is_back(self, server: ServerInfo) -> None:
        """Take note of a server that was away; raises what begin would."""
        self._welcome(server)
        if self._wants_plan:
            await asyncio.to_thread(self._choose)

    def overrule(self, choice: Choice) -> None:
        """Stay at the caller's choice, even if a plan is being made meanwhile."""
        with self._deciding:
            self._overruled = True
            self._control.stay_at(choice)

    def end(self) -> None:
        """Give up what is being measured, and looking for a server."""
        self._ended = True
        if self._looking is not None:
            self._looking.cancel()

    def check(self, choice: Choice) -> None:
        """Raise what keeps the server from serving a choice of the caller's, if it has been greeted.

        UnknownNameError where a standard one lacks the model, TooLargeError as `check_size`.
        """
        self.check_size(choice)
        if self.server is not None and self.server.plain is not None:
            self._check_served(choice, self.server.plain)

    def check_size(self, choice: Choice) -> None:
        """Raise TooLargeError when one sample of the frontier would be over the server's limit."""
        if self.server is None:
            return
        needed = _HEADER_BYTES + sum(
            codec_for(choice.codec, spec).estimate_bytes(spec) for spec in choice.cut.frontier
        )
        if needed > self.server.max_message_bytes:
            raise TooLargeError(
                f"cut {choice.cut.id!r} sends about {plural(needed, 'byte')} a frame, and the server takes "
                f"{self.server.max_message_bytes:,}. Use another cut or codec, or raise its --max-message."
            )

    @property
    def _wants_plan(self) -> bool:
        asked = self._options.adapts or self._options.cut == AUTO
        return asked and not self._planned and not self._overruled

    def _welcome(self, server: ServerInfo) -> None:
        if (current := self._control.current) is not None and not self._control.adapts:
            self._check_served(current, server.plain)
        self.server = server
        self._control.heed_offer(server.plain.labels if server.plain else None)
        if self._transport is not None:
            self._transport.note_kind(is_plain=server.plain is not None)
            self._runner.plain_server = self._transport.plain_server
            self._runner.plain_version = server.plain.version if server.plain else ""
            self._runner.most_rows = server.plain.most_rows if server.plain else {}
            self._transport.limit_requests(server.max_message_bytes)
            self._compare_calibrations(server, self._transport.address)
        self._control.heed_limit(server.max_message_bytes)
        self._control.learned.cloud_workers = max(1, server.workers)
        if current is not None and not self._control.adapts:
            self.check_size(current)

    def _check_served(self, choice: Choice, plain: PlainServer | None) -> None:
        """Raise UnknownNameError where a standard server lacks the one model that frames are to go to."""
        if plain is None or self._wants_plan:
            return
        if choice.cut.id != EDGE and choice.label not in plain.labels:
            name = plain_model_name(self._bundle.name, choice.cut.id, choice.codec.name)
            raise UnknownNameError(
                f"{plain.name} serves no {name!r}, but {', '.join(sorted(plain.labels))} of "
                f"{self._bundle.name!r}. Use one of these, or export that cut: splitpoint export triton "
                f"{self._bundle.path} --cuts {choice.cut.id} --out DIR."
            )

    def _compare_calibrations(self, server: ServerInfo, address: str) -> None:
        if server.calibration is None:
            return
        try:
            check_calibration(server.calibration, address, self._bundle)
        except CalibrationError as error:
            self._control.distrust(error)
        else:
            self._control.distrust(None)

    def _choose(self) -> None:
        self._settle(self._plan())

    def _plan(self) -> _Planned:
        if self._transport is None:
            raise UsageError("`cut` auto needs a server. Give `cloud` HOST:PORT, or `cut` edge.")
        plain = self.server.plain if self.server else None
        way = plan_with_cloud if plain is None else partial(plan_with_plain_server, found=plain)
        made = way(
            self._bundle,
            self._transport.endpoint,
            self._stages.options,
            link=self.link,
            codec=self._options.codec,
            accuracy_drop=self._options.accuracy_drop,
            slowdown=self._options.slow,
            on_progress=self._note,
        )
        most_bytes = self.server.max_message_bytes if self.server else None
        usable, demand = self._control.usable(made), self._control.power_demand
        option, reason = best_of(usable, most_bytes, self._control.settings.under(demand))
        if self._options.cut != AUTO and self.server is not None:
            option, reason = self._given(usable, demand), "chosen by the caller"
        return _Planned(made, option, reason, demand)

    def _settle(self, planned: _Planned, *, continues: bool = False) -> None:
        self.link = planned.plan.link
        self._follow(planned, continues=continues)
        self._planned = True

    def _choose_alone(self) -> None:
        """Begin without a cloud: with what is known of it, or with nothing but this device."""
        reason = say_absence(self._breaker.error)
        options = self._options
        plan = plan_without_cloud(
            self._bundle, self.link, options.codec, options.accuracy_drop, options.slow
        )
        if plan is not None and options.adapts:
            option = best_alone(plan.options) or plan.best
            if options.cut != AUTO and self.server is not None:
                option, reason = self._given(plan, NO_POWER_DEMAND), "chosen by the caller"
            self._follow(_Planned(plan, option, reason))
            self._planned = True
        elif self._control.current is None:
            alone = choose(self._bundle, cut_alone(self._bundle), None, reason)
            with self._deciding:
                if not self._overruled:
                    self._control.stay_at(alone, alone=True)

    def _follow(self, planned: _Planned, *, continues: bool = False) -> None:
        with self._deciding:
            if self._overruled:
                return
            if not self._options.adapts:
                self._control.stay_at(planned.choice(self._bundle))
                return
            message_bytes = self.server.max_message_bytes if self.server else None
            limits = Limits(message_bytes, self._stages.memory_bytes)
            first = planned.option, planned.reason
            self._control.follow(planned.plan, *first, limits, planned.heeded, continues=continues)

    def _given(self, plan: Plan, heeded: PowerDemand) -> Option:
        """Return the caller's cut among the plan's options, with the caller's codec or the best one."""
        of_cut = [option for option in plan.options if option.cut == self._options.cut]
        if not of_cut:
            raise UsageError(
                f"the plan has no option at the cut {self._options.cut!r}. Measure it again."
            )
        policy = self._control.settings.under(heeded)
        return policy.objective.least(of_cut, plan, policy.terms)

    def _note(self, what: str, done: int, total: int) -> None:
        if self._ended:
            raise UsageError("the client was closed while it measured.")
        self._options.on_progress(what, done, total)
