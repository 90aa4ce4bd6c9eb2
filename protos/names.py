"""The words that both machines put on the wire: model names and the keys of OIP parameters."""

CLOUD = "cloud"
"""The cut that leaves everything to the cloud; its frontier is the model's input."""

EDGE = "edge"
"""The cut that leaves everything on the edge; nothing crosses."""

PARAM_CODEC = "codec"
"""On an input tensor: the codec of its raw bytes. Absent: raw."""

PARAM_BUNDLE_DIGEST = "bundle_digest"
"""On a request: the hex digest of the edge's bundle. Absent: not compared."""

PARAM_CALIBRATION_DIGEST = "calibration_digest"
"""On a request with codecs that need one: the first 16 hex digits of the digest of the edge's calibration."""

PARAM_CHECKSUM = "crc32"
"""On a request or a response, if the sender wants damage to be noticed; see protos/wire/checksums.py."""

PARAM_QUEUE_NS = "queue_ns"
PARAM_DECODE_NS = "decode_ns"
PARAM_COMPUTE_NS = "compute_ns"
"""On a response: nanoseconds waiting for a worker, decoding the inputs, and running the graph."""

PARAM_OPEN_NS = "open_ns"
"""There too, if the tail had to be opened first: the nanoseconds of queue_ns that this took."""

PARAM_BATCH_SIZE = "batch_size"
"""There too: how many rows were computed together, if those of other requests were among them. compute_ns is
then the request's share by rows; what the others took counts as queue_ns."""

PARAM_PRIORITY = "priority"
PARAM_TIMEOUT = "timeout"
"""On a request, as Triton has them: its level, 1 the highest; the most microseconds that it may wait."""

PARAM_SERVED_BY = "served_by"
PARAM_REASON = "reason"
PARAM_CUT = "cut"
"""On a response of the edge's local server: who ran the last layer, why, and where the model was cut. The
seconds of each stage are there too, in nanoseconds: `latency_ns`, `edge_ns`, `network_ns`, `queue_ns`,
`cloud_ns`, `wait_ns`."""

PARAM_HEALTH = "health"
"""There too: how the edge fares: `healthy`, `degraded` or `offline`."""

PARAM_ERROR_CODE = "error_code"
"""On a failed answer of a stream: the name of the gRPC status code."""

PARAM_RETRY_AFTER_MS = "retry_after_ms"
"""There too, of a server that takes no more now: after how many milliseconds to try again, if it knows."""

RETRY_AFTER_TRAILER = "grpc-retry-pushback-ms"
"""The same in the trailers of a call that is refused, under gRPC's name for it."""


def model_name(bundle: str, cut: str) -> str:
    """Return the OIP model that serves the tail of `cut`: `<bundle>.<cut>`, or `<bundle>` for `cloud`."""
    return bundle if cut == CLOUD else f"{bundle}.{cut}"


def plain_model_name(bundle: str, cut: str, codec: str) -> str:
    """Return the OIP model of a standard server that takes the frontier of `cut` by `codec`, and decodes it.

    `<bundle>.<cut>.<codec>`; by the codec raw it is the tail itself.
    """
    return model_name(bundle, cut) if codec == "raw" else f"{bundle}.{cut}.{codec}"


def plain_model_version(version_digest: str) -> int:
    """Return the number under which standard servers have a version of a bundle: another for each version."""
    return int(version_digest[:7], 16) + 1
