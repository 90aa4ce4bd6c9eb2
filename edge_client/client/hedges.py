"""Hedges of frames: when each is due by what is known of the link, how many may be, and what came of them."""

from collections import defaultdict
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from edge_client.client.local_finish import HedgeRun, LocalFinish
from edge_client.cloud.reply import Reply
from edge_client.cloud.transport import GrpcTransport
from edge_client.control.controller import Controller
from edge_client.frames.prepared_frame import PreparedFrame
from edge_client.frames.result import Hedged
from partitioner.estimators.answer_times import AnswerTimes
from partitioner.policy.hedges import (
    HedgeBudget,
    Hedging,
    Later,
    answer_later,
    expected_answer_s,
    overdue_s,
    usually_later,
)


@dataclass(slots=True)
class HedgeCounts:
    """What came of hedges since the start."""

    device_first: int = 0
    """Hedges whose frame this device has answered,"""
    cloud_first: int = 0
    """and those that were dropped, as the cloud has."""
    dropped_s: float = 0.0
    """Seconds that this device has computed for nothing, as the cloud was first."""
    unused_answers: int = 0
    """Answers of the cloud that came after this device's,"""
    unused_cloud_s: float = 0.0
    """and the seconds that it has computed for them."""

    @property
    def begun(self) -> int:
        """Frames that this device began to finish while the cloud might still answer."""
        return self.device_first + self.cloud_first

    def summary(self) -> dict[str, Any]:
        """Return the counts as plain data."""
        return {
            "begun": self.begun,
            "device_first": self.device_first,
            "cloud_first": self.cloud_first,
            "dropped_s": round(self.dropped_s, 6),
            "unused_answers": self.unused_answers,
            "unused_cloud_s": round(self.unused_cloud_s, 6),
        }


@dataclass(frozen=True, slots=True)
class Hedge:
    """The hedge of one frame: due so long after its message was handed over, unless the answer has come."""

    after_s: float
    expected_s: float | None
    """What the answer is expected to take; None where nothing is known."""
    handed_at: float
    run: HedgeRun

    @property
    def due_at(self) -> float:
        """The moment, of perf_counter."""
        return self.handed_at + self.after_s

    def came_to(self, *, device_first: bool, dropped_s: float = 0.0) -> Hedged | None:
        """Return what it was; None where the device had not begun with it."""
        begun_at = self.run.begun_at
        if begun_at is None:
            return None
        return Hedged(begun_at - self.handed_at, self.expected_s, device_first, dropped_s)


@dataclass(frozen=True, slots=True)
class OnItsWay:
    """What a message met when it was handed over: earlier ones, of so many bytes, begun at `since_s`."""

    handed_at: float
    ahead_bytes: int
    since_s: float


_LEAVING_S = 0.001
"""The message leaves before its hedge is thought of, which an answer within so long does not need."""


class Hedges:
    """Decides on the hedges of one client's frames, and counts them. Used in one event loop."""

    def __init__(
        self,
        hedging: Hedging,
        finish: LocalFinish,
        controller: Controller,
        counts: HedgeCounts | None = None,
    ) -> None:
        self.counts = counts or HedgeCounts()
        self._hedging = hedging
        self._finish = finish
        self._controller = controller
        self._budget = HedgeBudget(hedging)
        self._usual: defaultdict[str, AnswerTimes] = defaultdict(AnswerTimes)

    def enter(self, work: PreparedFrame, transport: GrpcTransport) -> OnItsWay | None:
        """Count a frame whose message is handed over now; None where it is not hedged in any case."""
        self._budget.frame()
        if self._hedging.after == "off" or not self._finish.is_possible(work.choice.cut.id):
            return None
        return OnItsWay(perf_counter(), *transport.on_the_way)

    def soonest_s(self, work: PreparedFrame) -> float:
        """Return for how long after its message was handed over no hedge of a frame is due.

        Without a plan of the cuts that is what answers take on average: late are those of the last tenth.
        """
        after = self._hedging.after
        if not isinstance(after, str):
            return max(_LEAVING_S, after)
        follows_plan = work.choice.option is not None and self._controller.adapts
        mean_s = None if follows_plan else self._usual[work.choice.label].mean_s
        return max(_LEAVING_S, mean_s or 0.0)

    def plan(self, work: PreparedFrame, way: OnItsWay) -> Hedge | None:
        """Return when to hedge a frame whose answer is still to come; None: not at all."""
        expected_s, later, usual = self._expected(work, way)
        finish_s = self._finish.usual_s(work.choice.cut.id)
        if finish_s is None:
            finish_s = overdue_s(expected_s or 0.0)
        after_s = self._hedging.after_s(later, finish_s, usual)
        return None if after_s is None else Hedge(after_s, expected_s, way.handed_at, HedgeRun())

    def may_begin(self) -> bool:
        """Tell whether one more frame may be hedged now, and count it."""
        return self._budget.take()

    def cloud_was_first(self, hedge: Hedge) -> Hedged | None:
        """Drop what the device does for a frame that the cloud has answered."""
        dropped_s = hedge.run.drop()
        hedged = hedge.came_to(device_first=False, dropped_s=dropped_s)
        self.counts.cloud_first += hedged is not None
        self.counts.dropped_s += dropped_s
        return hedged

    def device_was_first(self, hedge: Hedge, work: PreparedFrame) -> Hedged | None:
        """Note that the device has answered, and that its seconds are the frame's."""
        self.counts.device_first += 1
        work.spent(hedge.run.took_s)  # an exit's have been counted
        return hedge.came_to(device_first=True)

    def answered(self, work: PreparedFrame, reply: Reply, handed_at: float) -> None:
        """Learn what an answer took; late ones, and those that are not used, teach as well."""
        self._usual[work.choice.label].add(reply.received_at - handed_at)

    def unused(self, reply: Reply) -> None:
        """Count an answer of the cloud that came after this device's."""
        self.counts.unused_answers += 1
        self.counts.unused_cloud_s += reply.decode_s + reply.compute_s

    def _expected(
        self, work: PreparedFrame, way: OnItsWay
    ) -> tuple[float | None, Later | None, Later | None]:
        """Return what the answer to a frame usually takes, and how likely it takes longer: now, and usually.

        Now it waits for earlier messages, of which some may never be answered.
        """
        option = work.choice.option
        if option is None or not self._controller.adapts:
            usual = self._usual[work.choice.label]
            later = None if usual.mean_s is None else usual.chance_later
            return usual.mean_s, later, later
        seen = self._controller.conditions(perf_counter())
        carried_bytes = seen.link.link.uplink_bps / 8 * (way.handed_at - way.since_s)
        left_bytes = max(0.0, way.ahead_bytes - carried_bytes)
        more_bytes = len(work.message or b"") - option.upload_bytes
        expected_s = expected_answer_s(option, seen, more_bytes)
        alone = usually_later(option, seen, more_bytes)
        return expected_s, answer_later(option, seen, left_bytes + more_bytes), alone
