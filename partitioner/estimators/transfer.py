"""A transfer: one message and its answer, as the edge saw them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Transfer:
    """One message and its answer, as the edge saw them.

    `begun_at` (the first byte was handed over) and `received_at` are seconds of one clock, `server_s`
    what the server says it took: queue, decoding and compute.
    """

    upload_bytes: float
    download_bytes: float
    begun_at: float
    received_at: float
    server_s: float

    @property
    def network_s(self) -> float:
        """Seconds that the server does not account for."""
        return max(0.0, self.received_at - self.begun_at - self.server_s)
