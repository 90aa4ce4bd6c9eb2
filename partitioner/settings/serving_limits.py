"""Within what limits a server of ours takes requests, declared once for the edge's and the cloud's."""

from dataclasses import dataclass

from partitioner.settings.declaration import Options, option
from partitioner.settings.kinds import SIZE, TIME, count
from partitioner.settings.panels import LIMITS
from protos.rpc.message_limits import DEFAULT_MAX_MESSAGE_BYTES, LEAST_MESSAGE_BYTES


@dataclass(frozen=True, kw_only=True)
class ServingLimits(Options):
    """How much a server takes at once, and how long it takes to stop."""

    max_queue: int = option(
        256,
        "Requests that may be in the server at the same time; more are refused, to be tried elsewhere.",
        count(),
        panel=LIMITS,
        holds=lambda requests: requests >= 1,
        wrong="a queue of {} requests lets none through. Give 1 or more.",
    )
    max_message_bytes: int = option(
        DEFAULT_MAX_MESSAGE_BYTES,
        "Larger requests are refused.",
        SIZE,
        panel=LIMITS,
        holds=lambda size: size >= LEAST_MESSAGE_BYTES,
        wrong="a message limit of {} B lets nothing through. Give at least 1KiB; 64MiB suits most "
        "models.",
    )
    drain_s: float = option(
        10.0,
        "How long requests in flight may take to finish once the server is told to stop.",
        TIME,
        panel=LIMITS,
        holds=lambda seconds: seconds >= 0,
        wrong="requests cannot be given {:g} s to finish. Give 0 or more.",
    )
