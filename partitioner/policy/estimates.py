"""Estimates of the link and of both machines, from ordinary traffic and probes.

The running edge and the simulator learn by the same.
"""

import math
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import wraps
from threading import RLock
from typing import Concatenate, ParamSpec, TypeVar

from partitioner.estimators.device_load import DeviceLoad
from partitioner.estimators.experience import Experience
from partitioner.estimators.link_estimator import LinkEstimator
from partitioner.estimators.load_estimator import ArrivalRate, FadingMean, LoadEstimator
from partitioner.estimators.transfer import Transfer
from partitioner.network.link import Link
from partitioner.planning.option import Option
from partitioner.policy.conditions import Conditions
from partitioner.policy.decision import Decision
from partitioner.policy.expected_latency import expect_beside
from partitioner.policy.power_rules import NO_POWER_DEMAND, PowerDemand
from partitioner.policy.settings import PolicySettings
from protos.errors import UsageError

PROBE_EVERY_S = 0.5
"""Between two probes of a link that no frame uses."""
PROBE_IDLE_S = 5.0
"""The link is not probed once no frame has been asked for so long: the radio may sleep."""
PROBE_LIMIT_S = 3.0
"""A probe behind megabytes on a slow uplink is late, and the link alive."""
_PROBE_MOST_BYTES, _PROBE_LEAST_BYTES = 32 << 10, 1 << 10
_BETWEEN_FRAMES_S = 2.0
"""Between two looks while frames cross."""
_SPARE = 1.5
"""Times what a probe is expected to take, that must be left until the next frame."""
_PROBE_S = 0.2
"""A probe takes the uplink for about so long."""

_P = ParamSpec("_P")
_R = TypeVar("_R")
_Method = Callable[Concatenate["Estimates", _P], _R]


def _one_at_a_time(method: _Method[_P, _R]) -> _Method[_P, _R]:
    """Let no other such method run meanwhile."""

    @wraps(method)
    def alone(self: "Estimates", /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with self.lock:
            return method(self, *args, **kwargs)

    return alone


class Estimates:
    """Estimates of link, loads, queue and frame rate, and how much they rest on.

    Several threads may teach and ask them: what is learnt of one frame is learnt whole.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        """Held while anything is learnt or asked; who takes another lock, too, takes that one first."""
        self.count = 0
        """Grows after whatever is learnt of link and loads, and with the pace: what was decided with an older
        count may not hold."""
        self.crossed_at = float("-inf")
        """When the link last showed what it can."""
        self._paced = 0
        self._under_way: dict[Hashable, tuple[float, float, float]] = {}
        self._link: LinkEstimator | None = None
        self._edge, self._cloud = DeviceLoad(), LoadEstimator()
        self._queue, self._arrivals = FadingMean(), ArrivalRate()
        self.experience = Experience()
        """What frames and moves really brought."""
        self.cloud_workers = 1
        """So many frames the cloud serves at the same time."""

    @_one_at_a_time
    def begin(self, link: Link) -> None:
        """Follow a link, which is believed to be `link` until something is seen of it."""
        self._link = LinkEstimator(link)

    @_one_at_a_time
    def conditions(
        self, now_s: float, power_demand: PowerDemand = NO_POWER_DEMAND, *, reachable: bool = True
    ) -> Conditions:
        """Return what is known now, of the cloud whether it is `reachable`; UsageError without a link."""
        if self._link is None:
            raise UsageError("nothing is known of the link: this client follows no plan.")
        cloud_load, queue_s = self._cloud.load(now_s), self._queue.value(now_s)
        oldest = min(self._under_way.values(), key=lambda sent: sent[1], default=None)
        waiting = None
        if oldest is not None:
            upload_bytes, sent_at, cloud_s = oldest
            waiting = upload_bytes, sent_at + queue_s + cloud_load * cloud_s
        others_load, own_load = self._edge.factors(now_s)
        return Conditions(
            self._link.estimate(now_s, waiting),
            others_load,
            cloud_load,
            queue_s,
            reachable,
            self._arrivals.period_s,
            power_demand,
            self.device_paced,
            message_under_way=waiting is not None,
            own_load=own_load,
            cloud_workers=self.cloud_workers,
            lessons=self.experience.lessons(now_s),
        )

    @property
    def link(self) -> Link | None:
        """The link as it is believed to be now; None without a plan."""
        with self.lock:
            return self._link.link if self._link else None

    def probe_bytes(self, largest_bytes: float) -> int:
        """Return what a probe should carry: what the largest option would, within reason."""
        if (link := self.link) is None:
            return 1
        wanted = max(_PROBE_LEAST_BYTES, _PROBE_S * link.uplink_bps / 8)
        return int(min(_PROBE_MOST_BYTES, wanted, largest_bytes)) or 1

    def wants_look(self, now_s: float, looked_at: float, asked_at: float) -> bool:
        """Tell whether to look at the link now, of which no message makes use.

        Often while no frame crosses; now and then between two frames that do, as messages that are all alike
        do not tell the round trip. Not at all once no frame has been asked for a while: the radio may sleep.
        """
        if now_s - asked_at >= PROBE_IDLE_S:
            return False
        if now_s - max(looked_at, self.crossed_at) >= PROBE_EVERY_S:
            return True
        return now_s - looked_at >= _BETWEEN_FRAMES_S and self.has_time_for(1, now_s)

    def has_time_for(self, size_bytes: int, now_s: float) -> bool:
        """Tell whether a probe of so many bytes is likely to be back before the next frame comes."""
        if (link := self.link) is None:
            return False
        left_s = self._arrivals.next_at - now_s
        return _SPARE * (link.rtt_s + 8 * size_bytes / link.uplink_bps) < left_s

    @property
    def has_seen_link(self) -> bool:
        """True once a frame or a probe has told something of the link that was planned for."""
        return self._link is not None and self._link.has_learned

    @property
    def device_paced(self) -> bool:
        """True while frames are taken when the device is free, so that none waits for it."""
        return self._paced > 0

    @_one_at_a_time
    def pace(self, streams: int) -> None:
        """Count so many more streams, or fewer, whose frames are taken when the device is free."""
        self._paced += streams
        self.count += 1

    @_one_at_a_time
    def arrived(self, arrived_at: float, asked_at: float = -math.inf) -> None:
        """Learn how often frames come; `asked_at`: before that there was no room for this one."""
        self._arrivals.add(arrived_at, asked_at)

    @_one_at_a_time
    def ran_on_device(
        self, measured_s: float, profiled_s: float, now_s: float, *, beside: bool = False
    ) -> None:
        """Learn from what the device took for a frame; `beside`: others were beyond it, see DeviceLoad."""
        self._edge.add(measured_s, profiled_s, now_s, beside=beside)
        self.count += 1

    @_one_at_a_time
    def decided(self, decision: Decision, now_s: float) -> None:
        """Note the option that frames take from now on, and what a move to it promised."""
        self.experience.moved(decision.usual.label, now_s, decision.promise)

    @_one_at_a_time
    def finished(
        self,
        option: Option,
        settings: PolicySettings,
        arrived_at: float,
        done_at: float,
        network_s: float = 0.0,
    ) -> None:
        """Learn from a frame that was served as planned what its option really takes.

        `network_s`: what it spent on the link, and waiting for that. Whatever it should have been, the link's
        estimate learns from it; all else is held against what is known once the frame is done.
        """
        if self._link is None or option.exit_rate:
            return
        seen = self.conditions(done_at)
        expected_s, computing_s = expect_beside(option, seen, settings.window, network_s)
        self.experience.done(option.label, arrived_at, done_at, expected_s, computing_s)
        self.count += 1

    @_one_at_a_time
    def served(self, seen: Transfer, queue_s: float, measured_s: float, profiled_s: float) -> None:
        """Learn from a frame that the cloud has served; `profiled_s` is 0 where its seconds tell nothing."""
        self.crossed(seen)
        self._queue.add(queue_s, seen.received_at)
        self._cloud.add(measured_s, profiled_s, seen.received_at)
        self.count += 1

    @_one_at_a_time
    def sent(
        self, message: Hashable, upload_bytes: float, sent_at: float, cloud_s: float = 0.0
    ) -> None:
        """Note that a message is under way, by a name of its own; the cloud is profiled to take `cloud_s`."""
        self._under_way[message] = (upload_bytes, sent_at, cloud_s)
        self.count += 1

    @_one_at_a_time
    def settled(self, message: Hashable) -> None:
        """Note that a message is no longer waited for: its answer came, or it was given up."""
        self._under_way.pop(message, None)

    @_one_at_a_time
    def crossed(self, seen: Transfer) -> None:
        """Learn from bytes that went to the cloud and back."""
        self.crossed_at = seen.received_at
        if self._link is not None:
            self._link.add(seen)
        self.count += 1

    @_one_at_a_time
    def lost(self, sent_bytes: float, waited_s: float) -> None:
        """Learn from bytes to which no answer came in so long."""
        if self._link is not None:
            self._link.at_least(sent_bytes, waited_s)
            self.count += 1

    @_one_at_a_time
    def measured(self, small: Transfer, large: Transfer) -> None:
        """Believe two probes, and nothing from before: the cloud is back, perhaps over another link."""
        self.crossed_at = large.received_at
        if self._link is None:
            return
        before = self._link.link
        more_s = large.network_s - small.network_s
        more_bytes = large.upload_bytes - small.upload_bytes
        if more_s > 0.1 * small.network_s and more_bytes > 0:
            up_bps = 8 * more_bytes / more_s
            ratio = before.downlink_bps / before.uplink_bps
            before = Link(up_bps, ratio * up_bps, before.rtt_s)
        self._link.restart(replace(before, rtt_s=small.network_s))
        self.count += 1
