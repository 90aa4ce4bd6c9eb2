"""The builders of a Result: served by the cloud, by an exit, by this edge, or by none.

What serves a frame is decided and computed elsewhere (edge_client/client/completion.py); here it only
becomes a Result.
"""

from collections.abc import Mapping
from time import perf_counter

from edge_client.cloud.reply import Reply
from edge_client.frames.choice import Choice
from edge_client.frames.failure import CloudFailure, reason_of
from edge_client.frames.prepared_frame import ExitAnswer, PreparedFrame
from edge_client.frames.result import Hedged, Missed, Result, ServedBy, Timings
from partitioner.bundle.bundle import Bundle
from partitioner.common.units import format_duration
from protos.errors import SplitpointError
from protos.tensors import Array


def served_by_cloud(
    bundle: Bundle, work: PreparedFrame, reply: Reply, hedged: Hedged | None = None
) -> Result:
    """Return the result of a frame whose tail the cloud has run."""
    reason = work.choice.reason
    return _result(bundle, work, ServedBy.CLOUD, reply.outputs, reason, reply=reply, hedged=hedged)


def served_by_exit(
    bundle: Bundle,
    work: PreparedFrame,
    answer: ExitAnswer,
    failure: CloudFailure | None = None,
    hedged: Hedged | None = None,
) -> Result:
    """Return the result of a frame that its exit answers: as it is sure, or because of the cloud."""
    if failure is None and hedged is None:
        reason = f"confidence {answer.confidence:.3f} of {answer.threshold:.3f} wanted"
    else:
        why = ", as no tail is here" if bundle.heads_only else ""
        sure = f"with confidence {answer.confidence:.3f}"
        reason = f"{_because(bundle, failure, hedged)} Taken from the exit{why}, {sure}."
    return _result(
        bundle, work, ServedBy.EXIT, answer.outputs, reason, failure=failure, hedged=hedged
    )


def served_by_edge(
    bundle: Bundle,
    work: PreparedFrame,
    tail_outputs: Mapping[str, Array],
    failure: CloudFailure | None = None,
    hedged: Hedged | None = None,
) -> Result:
    """Return the result of a frame that was computed here: as chosen, or because of the cloud."""
    reason = _because(bundle, failure, hedged) if failure or hedged else work.choice.reason
    return _result(
        bundle, work, ServedBy.EDGE, tail_outputs, reason, failure=failure, hedged=hedged
    )


def served_by_none(
    frame: int,
    choice: Choice,
    arrived_at: float,
    error: SplitpointError,
    *,
    sent_bytes: int = 0,
    missed: Missed | None = None,
    failure: CloudFailure | None = None,
    version_digest: str = "",
) -> Result:
    """Return the result of a frame without an answer; `error` says why."""
    lost_s = perf_counter() - arrived_at
    return Result(
        frame=frame,
        outputs={},
        served_by=ServedBy.NONE,
        reason=str(error),
        cut=choice.cut.id,
        codec=choice.codec.name,
        upload_bytes=sent_bytes,
        download_bytes=0,
        timings=Timings(latency_s=lost_s, edge_s=0.0, wait_s=lost_s),
        error=error,
        missed=missed,
        fallback=failure.kind if failure else None,
        cloud_error=failure.error if failure and failure.was_asked else None,
        version_digest=version_digest,
    )


def _because(bundle: Bundle, failure: CloudFailure | None, hedged: Hedged | None) -> str:
    """Say why a frame that was sent to the cloud is answered here."""
    if failure is not None:
        return reason_of(failure, bundle.name)
    if hedged is None:
        return ""
    expected = f" (expected {format_duration(hedged.expected_s)})" if hedged.expected_s else ""
    return (
        f"the answer of the cloud was late: hedged after {format_duration(hedged.after_s)}{expected}; "
        "this device was first."
    )


def _result(
    bundle: Bundle,
    work: PreparedFrame,
    served_by: ServedBy,
    outputs: Mapping[str, Array],
    reason: str,
    *,
    reply: Reply | None = None,
    failure: CloudFailure | None = None,
    hedged: Hedged | None = None,
) -> Result:
    """`outputs` lacks those of the head; what was lost to a failing or late cloud counts as network."""
    own = work.choice.cut.head_outputs
    network_s, queue_s, cloud_s = (failure.lost_s if failure else 0.0), 0.0, 0.0
    if hedged is not None:
        network_s = hedged.after_s  # then the device went on, whatever became of the cloud
    if reply is not None:
        network_s, queue_s = reply.network_s, reply.queue_s
        cloud_s = reply.decode_s + reply.compute_s
    latency_s = perf_counter() - work.arrived_at
    wait_s = max(0.0, latency_s - work.edge_s - network_s - queue_s - cloud_s)
    return Result(
        frame=work.frame,
        outputs={
            spec.name: (work.values if spec.name in own else outputs)[spec.name]
            for spec in bundle.outputs
        },
        served_by=served_by,
        reason=reason,
        cut=work.choice.cut.id,
        codec=work.choice.codec.name,
        upload_bytes=work.sent_bytes,
        download_bytes=reply.download_bytes if reply else 0,
        timings=Timings(latency_s, work.edge_s, network_s, queue_s, cloud_s, wait_s),
        server=reply.server if reply else "",
        fallback=failure.kind if failure else None,
        cloud_error=failure.error if failure and failure.was_asked else None,
        hedged=hedged,
        version_digest=bundle.version_digest,
    )
