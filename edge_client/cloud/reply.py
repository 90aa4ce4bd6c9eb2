"""One answer of the cloud, and what is needed to know the part of the network in it."""

from collections.abc import Mapping
from dataclasses import dataclass

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
