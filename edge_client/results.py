"""What a frame comes to: its outputs, who served it, and where the time went."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from protos.tensors import Array


class ServedBy(StrEnum):
    """Where the last layer ran."""

    CLOUD = "cloud"
    EXIT = "exit"
    EDGE = "edge"


@dataclass(frozen=True)
class Timings:
    """Seconds of every stage of one frame.

    edge_s: head and encoding; network_s: sending, travelling and receiving; queue_s: waiting for a
    worker of the cloud; cloud_s: decoding and tail; wait_s: waiting on the device for the head's turn.
    latency_s is from the frame's arrival at the client to its result.
    """

    latency_s: float
    edge_s: float
    network_s: float = 0.0
    queue_s: float = 0.0
    cloud_s: float = 0.0
    wait_s: float = 0.0


@dataclass(frozen=True)
class Result:
    """One frame's result. `outputs` maps the model's output names to arrays [batch, …]."""

    frame: int
    outputs: Mapping[str, Array]
    served_by: ServedBy
    reason: str
    cut: str
    codec: str
    upload_bytes: int
    download_bytes: int
    timings: Timings

    @property
    def latency_s(self) -> float:
        """Seconds from the frame's arrival at the client to its result."""
        return self.timings.latency_s
