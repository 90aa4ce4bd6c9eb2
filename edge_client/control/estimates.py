"""What the edge has learnt of the link and of both machines, from its own traffic."""

from dataclasses import replace
from time import perf_counter

from edge_client.cloud.reply import Reply
from edge_client.frames.prepared_frame import PreparedFrame
from partitioner.network.link import Link
from partitioner.network.link_estimator import LinkEstimator, Transfer
from partitioner.policy.conditions import Conditions
from partitioner.policy.load_estimator import ArrivalRate, FadingMean, LoadEstimator
from partitioner.policy.power_rules import PowerDemand
from protos.errors import LateError, SplitpointError, UsageError


class EdgeEstimates:
    """Estimates of link, loads, queue and frame rate, and how much they rest on.

    Taught by the event loop and by the thread of the heads.
    """

    def __init__(self) -> None:
        self.count = 0
        """Grows after whatever is learnt of link and loads, and with the pace: what was decided with an older
        count may not hold."""
        self.crossed_at = float("-inf")
        """When the link last showed what it can."""
        self._paced = 0
        self._link: LinkEstimator | None = None
        self._edge, self._cloud = LoadEstimator(), LoadEstimator()
        self._queue, self._arrivals = FadingMean(), ArrivalRate()

    def begin(self, link: Link) -> None:
        """Follow a link, which is believed to be `link` until something is seen of it."""
        self._link = LinkEstimator(link)

    def conditions(self, now_s: float, power_demand: PowerDemand, *, reachable: bool) -> Conditions:
        """Return what is known now, of the cloud whether it is `reachable`; UsageError without a link."""
        if self._link is None:
            raise UsageError("nothing is known of the link: this client follows no plan.")
        return Conditions(
            self._link.estimate(now_s),
            self._edge.load(now_s),
            self._cloud.load(now_s),
            self._queue.value(now_s),
            reachable,
            self._arrivals.period_s,
            power_demand,
            self.device_paced,
        )

    @property
    def link(self) -> Link | None:
        """The link as it is believed to be now; None without a plan."""
        return self._link.estimate(perf_counter()).link if self._link else None

    @property
    def has_seen_link(self) -> bool:
        """True once a frame or a probe has told something of the link that was planned for."""
        return self._link is not None and self._link.has_learned

    @property
    def suspects(self) -> bool:
        """True while the link looks as if it had changed, and another look would tell."""
        return self._link is not None and self._link.suspects

    @property
    def device_paced(self) -> bool:
        """True while frames are taken when the device is free, so that none waits for it."""
        return self._paced > 0

    def pace(self, streams: int) -> None:
        """Count so many more streams, or fewer, whose frames are taken when the device is free."""
        self._paced += streams
        self.count += 1

    def arrived(self, arrived_at: float, *, held: bool) -> None:
        """Learn how often frames come; `held`: this one might have come sooner, had there been room."""
        self._arrivals.add(arrived_at, held=held)

    def prepared(self, work: PreparedFrame) -> None:
        """Learn from a frame's head."""
        if work.choice.option is not None:
            known = work.choice.option
            profiled_s = known.edge_s + known.exit_s - known.handing_s
            if work.message is None:  # an exit has answered
                profiled_s -= known.encode_s
            self._edge.add(work.edge_s, profiled_s, perf_counter())
            self.count += 1

    def answered(self, work: PreparedFrame, reply: Reply) -> None:
        """Learn from an answer of the cloud."""
        server_s = reply.queue_s + reply.decode_s + reply.compute_s
        self.crossed(
            Transfer(
                reply.upload_bytes,
                reply.download_bytes,
                reply.begun_at,
                reply.received_at,
                server_s,
            )
        )
        self._queue.add(max(0.0, reply.queue_s - reply.load_s), reply.received_at)
        if work.choice.option is not None and not reply.load_s:  # a tail's first run is slow
            measured_s = reply.decode_s + reply.compute_s
            self._cloud.add(measured_s, work.choice.option.cloud_s, reply.received_at)
        self.count += 1

    def crossed(self, seen: Transfer) -> None:
        """Learn from bytes that went to the cloud and back."""
        self.crossed_at = seen.received_at
        if self._link is not None:
            self._link.add(seen)
        self.count += 1

    def measured(self, small: Transfer, large: Transfer) -> None:
        """Believe two probes, and nothing from before: the cloud is back, perhaps over another link."""
        self.crossed_at = large.received_at
        if self._link is None:
            return
        before = self._link.estimate(large.received_at).link
        more_s = large.network_s - small.network_s
        more_bytes = large.upload_bytes - small.upload_bytes
        if more_s > 0.1 * small.network_s and more_bytes > 0:
            up_bps = 8 * more_bytes / more_s
            ratio = before.downlink_bps / before.uplink_bps
            before = Link(up_bps, ratio * up_bps, before.rtt_s)
        self._link.restart(replace(before, rtt_s=small.network_s))
        self.count += 1

    def failed(self, work: PreparedFrame, error: SplitpointError, lost_s: float) -> None:
        """Learn from a frame that the cloud failed, after `lost_s`."""
        if isinstance(error, LateError) and work.sent_bytes and self._link is not None:
            self._link.at_least(work.sent_bytes, lost_s)
            self.count += 1
