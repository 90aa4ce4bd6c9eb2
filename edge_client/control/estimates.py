"""The estimates that the edge's own frames teach."""

import math
from collections import deque
from dataclasses import replace
from time import perf_counter

from edge_client.cloud.reply import Reply
from edge_client.frames.prepared_frame import PreparedFrame
from partitioner.estimators.transfer import Transfer
from partitioner.policy.estimates import Estimates
from partitioner.policy.settings import PolicySettings
from protos.errors import LateError, SplitpointError
from protos.names import EDGE

_SHARED_KEPT = 64
"""Pieces of a download that are remembered."""
_SHARED_S = 5.0
"""While a download goes on, the link is learnt from what crosses beside it this often at the most."""
_FRESH_S, _LEAST_S = 1.0, 1e-6
"""For so long after a probe it is known what the link alone takes; no server takes less than nothing."""
_LATEST = 0.3
"""Weight of the newest answer in what answers usually take."""


class EdgeEstimates(Estimates):
    """Estimates taught by frames, from the event loop and from the thread of the heads."""

    def __init__(self, settings: PolicySettings | None = None) -> None:
        super().__init__()
        self._settings = settings or PolicySettings()
        self._usual_s: dict[str, float] = {}
        self._shared: deque[tuple[float, float]] = deque(maxlen=_SHARED_KEPT)
        self._taught_at = self._probed_at = -math.inf

    def usual_s(self, label: str) -> float | None:
        """Return the seconds from a frame's arrival to the cloud's answer, late or not, at a choice.

        None before the first answer.
        """
        return self._usual_s.get(label)

    def forget_options(self) -> None:
        """Forget what options really took: those of another version are others, whatever they are called.

        What was learnt of the link and of how loaded both machines are holds.
        """
        with self.lock:
            self._usual_s.clear()
            self.experience = type(self.experience)()
            self.count += 1

    def shared_link(self, since_s: float, until_s: float) -> None:
        """Note that a download has used the link, which made slow what crossed meanwhile."""
        with self.lock:
            self._shared.append((since_s, until_s))

    def crossed(self, seen: Transfer) -> None:
        """Learn from bytes that went to the cloud and back, unless a download went beside them.

        Where one goes beside all of them, something is learnt now and then.
        """
        with self.lock:
            beside = any(
                seen.begun_at < end and begin < seen.received_at for begin, end in self._shared
            )
            if beside and seen.received_at - self._taught_at < _SHARED_S:
                self.crossed_at = seen.received_at
                return
            self._taught_at = seen.received_at
            super().crossed(seen)

    def probed(self, seen: Transfer) -> None:
        """Learn from a probe, which no server spends time on."""
        with self.lock:
            self.crossed(seen)
            self._probed_at = seen.received_at

    def prepared(self, work: PreparedFrame, *, beside: bool = False) -> None:
        """Learn from a frame's head; `beside`: it began while others were beyond this device."""
        if work.choice.option is not None:
            known, now_s = work.choice.option, perf_counter()
            profiled_s = known.edge_s + known.exit_s - known.handing_s
            if work.message is None:  # an exit has answered
                profiled_s -= known.encode_s
            self.ran_on_device(work.edge_s, profiled_s, now_s, beside=beside)
            if known.cut == EDGE:
                self.finished(known, self._settings, work.arrived_at, now_s)

    def answered(self, work: PreparedFrame, reply: Reply, *, late: bool = False) -> None:
        """Learn from an answer of the cloud; `late`: its frame had been finished without it."""
        cloud_s = reply.decode_s + reply.compute_s
        sizes = reply.upload_bytes, reply.download_bytes
        seen = Transfer(*sizes, reply.begun_at, reply.received_at, reply.queue_s + cloud_s)
        option = work.choice.option
        profiled_s = (
            0.0 if option is None or reply.open_s else option.cloud_s
        )  # a first run is slow
        if not reply.is_accounted:
            cloud_s = self._presumed_s(seen, profiled_s)
            seen = replace(seen, server_s=cloud_s)
        label, took_s = work.choice.label, reply.received_at - work.arrived_at
        before_s = self._usual_s.get(label, took_s)
        self._usual_s[label] = before_s + _LATEST * (took_s - before_s)
        measured_s = profiled_s if reply.is_accounted else 0.0
        self.served(seen, max(0.0, reply.queue_s - reply.open_s), cloud_s, measured_s)
        if option is not None and not late and not reply.open_s:
            network_s = max(0.0, reply.received_at - work.ready_at - seen.server_s)
            times = work.arrived_at, reply.received_at, network_s
            self.finished(option, self._settings, *times)

    def _presumed_s(self, seen: Transfer, profiled_s: float) -> float:
        """Return what a standard server, which does not say, is taken to have spent on a request.

        Its profile, times its load; whatever the answer took longer is the link's. One that comes soon after
        a probe, which tells the link without the server, is the other way round: it tells the load.
        """
        with self.lock:
            now_s, took_s = seen.received_at, seen.received_at - seen.begun_at
            link = self.link
            if link is None or profiled_s <= 0 or now_s - self._probed_at >= _FRESH_S:
                return min(took_s, profiled_s * self._cloud.load(now_s))
            crossing_s = link.predict_s(seen.upload_bytes, seen.download_bytes)
            beyond_s = max(_LEAST_S, took_s - crossing_s)
            self._cloud.add(beyond_s, profiled_s, now_s)
            return min(took_s, beyond_s)

    def failed(self, work: PreparedFrame, error: SplitpointError, lost_s: float) -> None:
        """Learn from a frame that the cloud failed, after `lost_s`."""
        if isinstance(error, LateError) and work.sent_bytes:
            self.lost(work.sent_bytes, lost_s)
