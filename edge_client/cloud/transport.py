"""The seam to the cloud: one request in, one reply or error out, however it travels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from protos.tensors import Array


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the cloud: tensors by name, and what is needed to know the network's part.

    `begun_at` (the first byte was handed over) and `received_at` are seconds of one monotonic clock;
    `upload_bytes` and `download_bytes` are whole messages; queue_s, decode_s and compute_s are the
    server's own account. load_s is the part of queue_s that a tail took which was not in memory yet.
    """

    outputs: Mapping[str, Array]
    upload_bytes: int
    download_bytes: int
    begun_at: float
    received_at: float
    queue_s: float
    decode_s: float
    compute_s: float
    load_s: float = 0.0

    @property
    def network_s(self) -> float:
        """Seconds between sending and receiving that the server does not account for."""
        server_s = self.queue_s + self.decode_s + self.compute_s
        return max(0.0, self.received_at - self.begun_at - server_s)


def unheard() -> None:
    """Nobody wants to know when a message leaves."""


class Transport(Protocol):
    """Carries inference requests to one server. Used from one event loop."""

    @property
    def address(self) -> str:
        """Who is at the other end, for people."""

    async def call(
        self,
        request_id: str,
        message: bytes,
        timeout_s: float,
        leaves: Callable[[], None] = unheard,
    ) -> Reply:
        """Send a whole ModelInferRequest whose id is `request_id`; return its answer.

        `leaves` is called when the first byte is handed over: never, if nobody can be reached.
        Raises UnreachableError, LateError, TooLargeError, or the error that the server answered with.
        """

    async def close(self) -> None:
        """Let go of the connection; calls in flight fail with UnreachableError."""
