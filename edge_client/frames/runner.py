"""The way of one frame: head and encoding, the call, and the tail here when the call fails."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count
from time import perf_counter

import numpy as np

from edge_client.cloud.reply import Reply
from edge_client.defaults import ExitThreshold
from edge_client.frames.choice import Choice
from edge_client.frames.failure import kind_of, reason_of, unanswered
from edge_client.frames.result import Missed, Result, ServedBy, Timings
from edge_client.frames.stages import Stages
from partitioner.bundle.exits import CONFIDENCE
from partitioner.bundle.manifest import Cut
from protos.errors import FaultError, LateError, SplitpointError
from protos.names import EDGE, model_name
from protos.tensors import Array
from protos.wire.checksums import seal
from protos.wire.framing import encode_request
from protos.wire.messages import pack_request


@dataclass(frozen=True, slots=True)
class ExitAnswer:
    """What the exit at a frame's cut says."""

    outputs: Mapping[str, Array]
    confidence: float
    """That of the least sure sample."""
    threshold: float
    """From which it answers; more than 1 where it may not."""

    @property
    def is_sure(self) -> bool:
        """True if the frame is answered by it, and goes no further."""
        return self.confidence >= self.threshold


@dataclass(slots=True)
class PreparedFrame:
    """One frame after its head: the values that the rest needs, and the message that carries them.

    `message` is None when nothing crosses, as the head or the exit has answered; `sent_bytes` is 0 until
    it begins to leave.
    """

    frame: int
    choice: Choice
    arrived_at: float
    deadline_at: float
    values: Mapping[str, Array]
    message: bytes | None
    request_id: str
    edge_s: float
    sent_bytes: int = 0
    exit: ExitAnswer | None = None
    """None if there is no exit at the cut, or nobody has asked it."""

    def leaves(self) -> None:
        """Note that the message has begun to leave this device."""
        self.sent_bytes = len(self.message or b"")


class FrameRunner:
    """Runs the device's part of frames. Safe to call from several threads."""

    def __init__(self, stages: Stages) -> None:
        self.stages = stages
        self.exit_threshold: ExitThreshold = None
        """What the caller asked for; None: no exit answers early."""
        self._bundle = stages.bundle
        self._request_ids = count()

    def prepare(
        self,
        inputs: Mapping[str, Array],
        frame: int,
        arrived_at: float,
        deadline_at: float,
        choice: Choice,
    ) -> PreparedFrame:
        """Run the head and encode the frontier; `inputs` have been checked."""
        values, edge_s = self.stages.run_head(choice.cut.id, inputs)
        work = PreparedFrame(frame, choice, arrived_at, deadline_at, values, None, "", edge_s)
        if choice.cut.id == EDGE:
            return work
        if self.exit_threshold is not None or deadline_at < math.inf:
            self.ask_exit(work)
        if work.exit is None or not work.exit.is_sure:
            begun = perf_counter()
            self._encode(work)
            work.edge_s += perf_counter() - begun
        return work

    def answered(self, work: PreparedFrame, reply: Reply) -> Result:
        """Return the result of a frame that the cloud finished; FaultError when the answer is wrong."""
        self._check(work.choice.cut, reply.outputs)
        return self._result(
            work,
            reply.outputs,
            ServedBy.CLOUD,
            work.choice.reason,
            (reply.upload_bytes, reply.download_bytes),
            (reply.network_s, reply.queue_s, reply.decode_s + reply.compute_s),
        )

    def finished_here(self, work: PreparedFrame) -> Result:
        """Return the result of a frame of which nothing crosses: the exit or the head has answered."""
        if work.exit is not None:
            reason = f"confidence {work.exit.confidence:.3f} of {work.exit.threshold:.3f} wanted"
            return self._exited(work, work.exit, reason, 0.0)
        return self._result(work, {}, ServedBy.EDGE, work.choice.reason, (0, 0), (0.0, 0.0, 0.0))

    def finish_here(self, work: PreparedFrame, error: SplitpointError, lost_s: float) -> Result:
        """Run the tail here, from the frontier that exists, because `error` came after `lost_s`."""
        outputs, tail_s = self.stages.run_tail(work.choice.cut.id, work.values)
        work.edge_s += tail_s
        reason = reason_of(error, self._bundle.name)
        return self._result(
            work, outputs, ServedBy.EDGE, reason, (work.sent_bytes, 0), (lost_s, 0.0, 0.0)
        )

    def ask_exit(self, work: PreparedFrame) -> None:
        """Ask the exit at the frame's cut, if there is one and it has not been asked yet."""
        cut_id = work.choice.cut.id
        if work.exit is not None or not self.stages.has_exit(cut_id):
            return
        limit = self.exits_from(work.choice)
        outputs, exit_s = self.stages.run_exit(cut_id, work.values)
        confidence = float(np.min(outputs.pop(CONFIDENCE)))
        work.exit = ExitAnswer(outputs, confidence, math.inf if limit is None else limit)
        work.edge_s += exit_s

    def exit_here(
        self, work: PreparedFrame, error: SplitpointError, lost_s: float
    ) -> Result | None:
        """Take the exit's answer, however sure it is, because of `error`; None if there is none."""
        if work.exit is None:
            return None
        why = ", as no tail is here" if self._bundle.heads_only else ""
        sure = f"with confidence {work.exit.confidence:.3f}"
        reason = f"{reason_of(error, self._bundle.name)} Taken from the exit{why}, {sure}."
        return self._exited(work, work.exit, reason, lost_s)

    def unfinished(self, work: PreparedFrame, error: SplitpointError) -> Result:
        """Return the result of a frame that the cloud failed with `error`, where no tail and no exit is."""
        cut_id, bundle = work.choice.cut.id, self._bundle
        exits = [cut for cut in bundle.cuts if self.stages.has_exit(cut)]
        failure = unanswered(error, bundle.name, cut_id, exits)
        failed = self.failed(work.frame, work.arrived_at, work.choice, failure)
        timed = isinstance(error, LateError) and work.deadline_at < math.inf
        missed = Missed(kind_of(error), None) if timed else None
        return replace(failed, upload_bytes=work.sent_bytes, missed=missed)

    def failed(
        self, frame: int, arrived_at: float, choice: Choice, error: SplitpointError
    ) -> Result:
        """Return the result of a frame that nobody served."""
        lost_s = perf_counter() - arrived_at
        return Result(
            frame=frame,
            outputs={},
            served_by=ServedBy.NONE,
            reason=str(error),
            cut=choice.cut.id,
            codec=choice.codec.name,
            upload_bytes=0,
            download_bytes=0,
            timings=Timings(latency_s=lost_s, edge_s=0.0, wait_s=lost_s),
            error=error,
        )

    def exits_from(self, choice: Choice) -> float | None:
        """Return the confidence from which the exit at a choice's cut answers early; None: never."""
        asked, cut_id = self.exit_threshold, choice.cut.id
        if asked is None or not self.stages.has_exit(cut_id):
            return None
        if choice.exits_from is not None:
            return choice.exits_from if choice.exits_from < math.inf else None
        if isinstance(asked, str):
            return self._bundle.known_exits().find(cut_id).meta.threshold
        return asked

    def _exited(
        self, work: PreparedFrame, answer: ExitAnswer, reason: str, lost_s: float
    ) -> Result:
        sent = (work.sent_bytes, 0)
        return self._result(work, answer.outputs, ServedBy.EXIT, reason, sent, (lost_s, 0.0, 0.0))

    def _encode(self, work: PreparedFrame) -> None:
        cut = work.choice.cut
        work.request_id = str(next(self._request_ids))  # one step of the interpreter: thread-safe
        header, buffers = pack_request(
            model_name(self._bundle.name, cut.id),
            work.request_id,
            work.values,
            cut.frontier,
            work.choice.codec,
            self._bundle.digest,
            self._bundle.ranges,
        )
        seal(header, buffers)
        work.message = encode_request(header, buffers)

    def _result(
        self,
        work: PreparedFrame,
        outputs: Mapping[str, Array],
        served_by: ServedBy,
        reason: str,
        sent: tuple[int, int],
        cloud: tuple[float, float, float],
    ) -> Result:
        """`sent`: bytes up and down; `cloud`: seconds of network, queue, and decoding with tail."""
        network_s, queue_s, cloud_s = cloud
        latency_s = perf_counter() - work.arrived_at
        wait_s = max(0.0, latency_s - work.edge_s - network_s - queue_s - cloud_s)
        return Result(
            frame=work.frame,
            outputs=self._gather(work, outputs),
            served_by=served_by,
            reason=reason,
            cut=work.choice.cut.id,
            codec=work.choice.codec.name,
            upload_bytes=sent[0],
            download_bytes=sent[1],
            timings=Timings(latency_s, work.edge_s, network_s, queue_s, cloud_s, wait_s),
        )

    def _gather(self, work: PreparedFrame, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return all outputs of the model, in its order; some may have come out of the head."""
        own = work.choice.cut.head_outputs
        return {
            spec.name: (work.values if spec.name in own else outputs)[spec.name]
            for spec in self._bundle.outputs
        }

    def _check(self, cut: Cut, outputs: Mapping[str, Array]) -> None:
        for spec in self._bundle.outputs:
            if spec.name not in cut.tail_outputs:
                continue
            found = outputs.get(spec.name)
            if found is None or found.dtype != spec.dtype or not spec.fits(found.shape):
                what = "nothing" if found is None else f"{found.dtype}{list(found.shape)}"
                raise FaultError(
                    f"the cloud answered {what} for the output {spec.name!r}, which is {spec}. "
                    "Check that the server has the same bundle."
                )
