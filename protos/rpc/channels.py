"""The options of gRPC that both machines set, each with its reason."""

from protos.rpc.message_limits import limit_options

_SHARED: tuple[tuple[str, int], ...] = (
    # A window that takes a whole frontier at once; the probe for bandwidth-delay enlarges it further.
    ("grpc.http2.lookahead_bytes", 8 << 20),
    ("grpc.http2.max_frame_size", 1 << 20),
    ("grpc.optimization_target", 0),
)


_PENDING_CALLS = 1 << 16
"""Beyond a number of calls that no handler has begun, gRPC drops calls as CANCELLED: 1,000 by default, which
100 devices that come at once can be. Here refusing is the server's own affair, with a reason and a time."""
_CALLS_OF_A_CONNECTION = 1 << 10
"""More wait at the client, whom HTTP/2 tells so."""


HANDSHAKE_MS = 20_000
"""Who has connected and has not shaken hands by then is let go: five times what a round trip of 1 s needs."""


SILENCE_MS = 60_000
"""After so long without a word a client is asked whether it is there; by itself gRPC asks after two hours."""
PATIENCE_MS = 60_000
"""Who does not answer by then has lost its power or its link: its calls end, and count no longer. An answer
may wait behind a frame that goes up a slow link."""


def server_options(max_message_bytes: int, *, shares_port: bool = False) -> list[tuple[str, int]]:
    """Return the options of a server that refuses requests over `max_message_bytes`.

    `shares_port`: other processes may listen on its port, too, and the system spreads connections over all.
    """
    return [
        *_SHARED,
        *limit_options(max_message_bytes),
        ("grpc.so_reuseport", int(shares_port)),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
        ("grpc.keepalive_time_ms", SILENCE_MS),
        ("grpc.keepalive_timeout_ms", PATIENCE_MS),
        # gRPC 1.83 goes by this one, and not by that above.
        ("grpc.http2.ping_timeout_ms", PATIENCE_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.server.max_pending_requests", _PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", _PENDING_CALLS),
        ("grpc.max_concurrent_streams", _CALLS_OF_A_CONNECTION),
    ]


_NEVER_MS = 600_000


def channel_options(max_message_bytes: int, *, reconnects: bool = True) -> list[tuple[str, int]]:
    """Return the options of an edge's channel.

    It reconnects quickly, as links come and go, and ever more seldom while that fails. Without `reconnects`
    it is for somebody who makes another one where it fails: gRPC goes on to connect a channel that was
    closed, until it is collected.
    """
    return [
        *_SHARED,
        *limit_options(max_message_bytes),
        ("grpc.initial_reconnect_backoff_ms", 100 if reconnects else _NEVER_MS),
        ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", 30_000 if reconnects else _NEVER_MS),
        ("grpc.dns_min_time_between_resolutions_ms", 1000),
        ("grpc.enable_retries", 0),
        # Not pooled: a second client in the process must not share this connection's fate.
        ("grpc.use_local_subchannel_pool", 1),
    ]
