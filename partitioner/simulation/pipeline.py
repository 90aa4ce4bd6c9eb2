"""Frames through one device, its uplink and its cloud, as the running client takes them.

    arrival ─► device (head, encoding) ─► uplink ─► half RTT ─► worker (decoding, tail)
            ─► downlink ─► half RTT ─► result

Each stage serves the frames in their order, one at a time, the cloud as many as it has workers. At most
`window` frames are at work; results are handed on in order, and only then is there room for another,
as in the client's pipeline. Frames come on a steady beat, and one that comes a whole beat late starts
the beat anew, as with the client's `fps`. A call that is not answered in `timeout_s` is given up,
with what is still on the uplink, and the device runs the tail itself. A hedged frame does not wait for
that: some time after its message was handed over the device begins to finish it, and whichever comes first
is the result.
"""

import math
from collections import deque
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol, Self

from partitioner.common.units import format_duration
from partitioner.network.step_function import Steps
from partitioner.network.trace import Trace
from partitioner.simulation.demand import Demand
from partitioner.simulation.device import Device, Race, Referee
from partitioner.simulation.draws import Chances
from protos.errors import UsageError


@dataclass(frozen=True)
class Setup:
    """What frames meet: a link over time, a beat, and how client and cloud are set."""

    trace: Trace
    period_s: float
    """Seconds between frames; 0: as fast as they are taken."""
    window: int
    timeout_s: float
    workers: int = 1
    seed: int | None = None
    """Of what times are drawn from; None: all stages take their medians."""
    device_paced: bool = False
    """Frames are taken only when the device is free, as the client does that has a deadline."""
    begins_at: float = 0.0
    """When in the trace the first frame may come."""

    def __post_init__(self) -> None:
        if self.trace.downlink_bps is None or self.trace.rtt_s is None:
            raise UsageError(
                "a trace without a downlink or a round trip cannot be run. Fill it in: "
                "trace.filled(rtt_s)."
            )
        for name, value in (("window", self.window), ("workers", self.workers)):
            if value < 1:
                raise UsageError(f"a {name} of {value} lets no frame through. Give 1 or more.")
        if not (0 < self.timeout_s < math.inf and 0 <= self.period_s < math.inf):
            raise UsageError(
                f"a period of {self.period_s} s and a timeout of {self.timeout_s} s have no meaning. "
                "Give a period of 0 or more, and a timeout above 0, both finite."
            )

    @property
    def paths(self) -> tuple[Steps, Steps, Steps]:
        """Uplink, downlink and round trip over time."""
        trace = self.trace
        return trace.uplink_bps, trace.downlink_bps or trace.uplink_bps, trace.rtt_s or _NO_TRIP

    @cached_property
    def chances(self) -> Chances | None:
        """What makes frames differ, by their number; None without a seed."""
        return None if self.seed is None else Chances(self.seed)


_NO_TRIP = Steps([0.0], [0.0], 1.0)


class Passage(NamedTuple):
    """One frame's way, in seconds of the run's clock; `served_by` is `edge`, `exit` or `cloud`, or `none`
    where nothing answers after a lost call.

    `demand` is what this frame took of each stage: its option's, as drawn.
    `latency_s` means what the client's `Result.latency_s` does: from being taken to the result.
    """

    demand: Demand
    arrived_at: float
    begun_at: float
    """The head's start, at which the option was chosen."""
    sent_at: float
    """The first byte left; the head's end where nothing crosses."""
    done_at: float
    network_s: float
    queue_s: float
    cloud_s: float
    served_by: str
    timed_out: bool = False
    """The cloud had not answered in time, whoever did."""
    answered_at: float = math.inf
    """When the cloud's answer came, or too late for a result; infinite if there was none in time."""
    hedged: bool = False
    """The device began to finish it before the call was given up, and may have won."""
    device_s: float = 0.0
    """Seconds that the device spent on that, or after a lost call."""

    def __repr__(self) -> str:
        latency, hedged = format_duration(self.latency_s), ", hedged" if self.hedged else ""
        return (
            f"<Passage of {self.demand.label} at {self.arrived_at:.3f} s: {latency}, served by "
            f"{self.served_by}{hedged}>"
        )

    @property
    def latency_s(self) -> float:
        """Seconds from the frame's arrival to its result."""
        return self.done_at - self.arrived_at


class Frames(Protocol):
    """Chooses an option for each frame, and hears what becomes of it."""

    def choose(self, arrived_at: float, begun_at: float) -> Demand:
        """Return the option of the frame that arrived then, and whose head is to begin then."""

    def sent(self, frame: int, passage: Passage) -> None:
        """Hear how the frame just chosen for goes its way: the head as it runs, and the cloud as it answers.

        Where the device may race the cloud for it, its end is not known yet.
        """

    def note(self, frame: int, passage: Passage) -> None:
        """Hear a frame's number and its way, once nothing can change it any more."""


class Pipeline:
    """The state between two frames; `copy` it to try what another option would do."""

    __slots__ = (
        "_asked_at",
        "_device",
        "_down_begun",
        "_down_free",
        "_due_at",
        "_frame",
        "_handed",
        "_racing",
        "_unhanded",
        "_uplink_free",
        "_workers",
        "setup",
    )

    def __init__(self, setup: Setup, referee: Referee | None = None) -> None:
        self.setup = setup
        self._frame = 0
        self._asked_at = setup.begins_at
        self._due_at = setup.begins_at - setup.period_s
        self._uplink_free = self._down_free = 0.0
        self._down_begun = -math.inf
        self._workers = [0.0] * setup.workers
        self._handed: deque[float] = deque([0.0] * setup.window, maxlen=setup.window)
        self._device = Device(referee or Referee())
        self._racing: dict[int, Passage] = {}
        self._unhanded: dict[int, float | None] = {}

    def copy(self) -> Self:
        """Return the same state, to go on from independently."""
        other = object.__new__(type(self))
        other.setup = self.setup
        other._frame = self._frame
        other._asked_at, other._due_at = self._asked_at, self._due_at
        other._uplink_free = self._uplink_free
        other._down_free, other._down_begun = self._down_free, self._down_begun
        other._workers, other._handed = self._workers.copy(), self._handed.copy()
        other._device = self._device.copy()
        other._racing, other._unhanded = self._racing.copy(), self._unhanded.copy()
        return other

    def key(self) -> tuple[object, ...]:
        """Return what the next frames can tell of the past: equal keys have equal futures."""
        at = self._asked_at
        return (
            at,
            self._due_at,
            self._device.key(at),
            max(at, self._uplink_free),
            max(at, self._down_free),
            tuple(sorted(max(at, free) for free in self._workers)),
            tuple(max(at, handed) for handed in self._handed),
            tuple(self._unhanded.items()),
        )

    def advance(self, frames: Frames) -> None:
        """Take the next frame through.

        Each frame is noted at once, or where the device races the cloud for it once both have shown when they
        are done: before a frame that begins later is chosen for.
        """
        arrived_at = self._take(frames)
        free_at = self._device.next_free(arrived_at)
        self._end_races(frames)
        demand = self._drawn(frames.choose(arrived_at, free_at))
        begun_at = self._device.run(arrived_at, demand.edge_s)
        if demand.crosses:
            passage = self._cross(demand, arrived_at, begun_at)
        else:
            end = self._device.free_at
            by = "exit" if demand.by_exit else demand.fallback
            passage = Passage(demand, arrived_at, begun_at, end, end, 0.0, 0.0, 0.0, by)
        frame = self._frame - 1
        frames.sent(frame, passage)
        if demand.races:
            self._race(frame, passage)
            return
        self._unhanded[frame] = passage.done_at
        self._hand_on()
        frames.note(frame, passage)

    def finish(self, frames: Frames) -> None:
        """End the races that are still on: no frame comes any more."""
        self._device.settle(self._frame)
        self._end_races(frames)

    def _drawn(self, demand: Demand) -> Demand:
        chances, self._frame = self.setup.chances, self._frame + 1
        return demand if chances is None else chances[self._frame - 1].of(demand)

    def _take(self, frames: Frames) -> float:
        """Return when the next frame is taken: there is room for it, and its beat has come."""
        if len(self._unhanded) >= self.setup.window:
            self._device.settle(self._frame - self.setup.window)
            self._end_races(frames)
        asked_at = max(self._asked_at, self._handed[len(self._unhanded)])
        if self.setup.device_paced:
            asked_at = self._device.is_free_at(self._device.next_free(asked_at), 0.0)
            self._end_races(frames)
        period_s = self.setup.period_s
        self._due_at += period_s
        if asked_at - self._due_at > period_s:
            self._due_at = asked_at
        self._asked_at = max(asked_at, self._due_at)
        return self._asked_at

    def _race(self, frame: int, passage: Passage) -> None:
        """Let the device finish a frame, unless the cloud does before."""
        demand = passage.demand
        handed_at = passage.begun_at + demand.edge_s
        give_up_at = handed_at + self.setup.timeout_s
        ready_at = give_up_at
        if demand.hedge_after_s is not None and demand.fallback != "none":
            ready_at = min(handed_at + demand.hedge_after_s, give_up_at)
        self._racing[frame], self._unhanded[frame] = passage, None
        self._device.race(
            Race(frame, ready_at, demand.finish_s, passage.answered_at, give_up_at, handed_at)
        )

    def _end_races(self, frames: Frames) -> None:
        """Hand on what the device's races have come to."""
        for frame, done_at, won, hedged, device_s, broken_at in self._device.finished():
            passage = self._racing.pop(frame)
            by = passage.demand.fallback if won else "cloud"
            self._unhanded[frame] = done_at
            ended = passage._replace(
                done_at=done_at, served_by=by, hedged=hedged, device_s=device_s
            )
            if broken_at is not None:
                handed_at = passage.begun_at + passage.demand.edge_s
                ended = ended._replace(
                    timed_out=True,
                    answered_at=math.inf,
                    network_s=broken_at - handed_at,
                    queue_s=0.0,
                    cloud_s=0.0,
                )
            frames.note(frame, ended)
        if self._device.broken_at is not None:  # what waited there went with the connection
            self._uplink_free = min(self._uplink_free, self._device.broken_at)
            self._device.broken_at = None
        self._hand_on()

    def _hand_on(self) -> None:
        """Hand on the results that no earlier frame's holds up."""
        while self._unhanded:
            frame, done_at = next(iter(self._unhanded.items()))
            if done_at is None:
                return
            del self._unhanded[frame]
            self._handed.append(max(done_at, self._handed[-1]))

    def _cross(self, demand: Demand, arrived_at: float, begun_at: float) -> Passage:
        uplink, downlink, rtt = self.setup.paths
        head_done = begun_at + demand.edge_s
        give_up_at = head_done + self.setup.timeout_s
        sent_at = max(head_done, self._uplink_free)
        if sent_at >= give_up_at:  # it never left
            return self._lost(demand, arrived_at, begun_at, give_up_at, give_up_at)
        uploaded_at = uplink.reaches(8 * demand.upload_bytes, sent_at)
        if uploaded_at > give_up_at:
            self._uplink_free = give_up_at
            return self._lost(demand, arrived_at, begun_at, give_up_at, sent_at)
        self._uplink_free = uploaded_at
        came_at = uploaded_at + rtt.at(uploaded_at) / 2
        worker = min(range(len(self._workers)), key=self._workers.__getitem__)
        served_at = max(came_at, self._workers[worker])
        computed_at = self._workers[worker] = served_at + demand.cloud_s
        # An answer that overtakes one whose tail takes longer is not held up by it.
        down_at = (
            computed_at if computed_at < self._down_begun else max(computed_at, self._down_free)
        )
        downloaded_at = downlink.reaches(8 * demand.download_bytes, down_at)
        self._down_begun = max(self._down_begun, computed_at)
        self._down_free = max(self._down_free, downloaded_at)
        done_at = downloaded_at + rtt.at(computed_at) / 2
        if done_at > give_up_at:
            return self._lost(demand, arrived_at, begun_at, give_up_at, sent_at)
        queue_s = served_at - came_at
        network_s = done_at - sent_at - queue_s - demand.cloud_s
        return Passage(
            demand, arrived_at, begun_at, sent_at, done_at, network_s, queue_s, demand.cloud_s, "cloud",
            answered_at=done_at,
        )  # fmt: skip

    def _lost(
        self, demand: Demand, arrived_at: float, begun_at: float, give_up_at: float, sent_at: float
    ) -> Passage:
        """Return the way of a frame that no answer comes to: the device finishes it, in a race if it may."""
        done_at = give_up_at
        if not demand.races:
            done_at = self._device.reserve(give_up_at, demand.finish_s) + demand.finish_s
        waited_s = self.setup.timeout_s
        return Passage(
            demand, arrived_at, begun_at, sent_at, done_at, waited_s, 0.0, 0.0, demand.fallback, True,
            device_s=demand.finish_s,
        )  # fmt: skip
