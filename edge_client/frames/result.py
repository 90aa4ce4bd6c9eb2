"""The result of a frame: its outputs, who served it, and the seconds of every stage."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from partitioner.common.tables import html_table
from partitioner.common.units import format_duration
from protos.errors import SplitpointError
from protos.names import EDGE
from protos.tensors import Array


class ServedBy(StrEnum):
    """The place where the last layer ran."""

    CLOUD = "cloud"
    EXIT = "exit"
    EDGE = "edge"
    NONE = "none"
    """Nowhere: the frame failed, and `Result.error` says why."""


@dataclass(frozen=True)
class Timings:
    """Seconds of every stage of one frame; the stages add up to latency_s.

    edge_s: head and encoding, and the tail where it ran here; network_s: sending, travelling and
    receiving, or waiting for an answer that never came; queue_s: waiting for a worker of the cloud;
    cloud_s: decoding and tail; wait_s: waiting on the device, for the head's turn or the link's.
    latency_s is from the frame's arrival at the client to its result.
    """

    latency_s: float
    edge_s: float
    network_s: float = 0.0
    queue_s: float = 0.0
    cloud_s: float = 0.0
    wait_s: float = 0.0


BUSY = "this device was too busy"
SLOW = "this device is too slow"


@dataclass(frozen=True)
class Missed:
    """The cause of a missed deadline, and the seconds that the frame would have taken here, if known."""

    why: str
    needed_s: float | None


@dataclass(frozen=True, slots=True)
class Hedged:
    """A frame that this device began to finish, too, as the cloud's answer was late."""

    after_s: float
    """From handing the message over until the device began with it."""
    expected_s: float | None
    """What the answer was expected to take from there; None where nothing was known."""
    device_first: bool
    """True: its answer came first, and is the result."""
    dropped_s: float = 0.0
    """Seconds that the device has computed for nothing, as the cloud was first."""


@dataclass(frozen=True)
class Result:
    """One frame's result. `outputs` maps the model's output names to arrays [batch, …].

    The arrays may be read-only views of the received message. `frame` counts from 0: within its
    stream, or over the calls of `infer`. `error` is set only when the frame got no answer.
    """

    frame: int
    outputs: Mapping[str, Array]
    served_by: ServedBy
    reason: str
    cut: str
    codec: str
    upload_bytes: int
    download_bytes: int
    timings: Timings
    error: SplitpointError | None = None
    missed: Missed | None = None
    """Set when there is no answer because the deadline had passed."""
    fallback: str | None = None
    """The kind of the cloud's failure, where it was meant to serve this frame and did not."""
    hedged: Hedged | None = None
    """Set where the cloud's answer was so late that this device began to finish the frame, too."""
    cloud_error: SplitpointError | None = None
    """What the cloud failed it with; None also where it was not asked, as it had failed others."""
    server: str = ""
    """The address of the server that served it; empty where the cloud did not, or is one server alone."""
    version_digest: str = ""
    """The digest of the version of the bundle that served it, whole: head, tail and exit are of one."""

    def __repr__(self) -> str:
        where = self.cut if self.cut == EDGE else f"{self.cut}/{self.codec}"
        taken = f"{where} in {format_duration(self.latency_s)}"
        shapes = (f"{name} {a.dtype}{list(a.shape)}" for name, a in self.outputs.items())
        what = f"failed: {self.error}" if self.error else ", ".join(shapes)
        by_hedge = self.hedged is not None and self.hedged.device_first
        because = f" ({self.reason})" if self.fallback or by_hedge else ""
        return (
            f"<Result of frame {self.frame}, served by {self.served_by}{because}, {taken}: {what}>"
        )

    def _repr_html_(self) -> str:
        seconds = vars(self.timings).items()
        rows = [(name.removesuffix("_s"), format_duration(value)) for name, value in seconds]
        return html_table(repr(self), ("stage", "time"), rows)

    @property
    def latency_s(self) -> float:
        """Seconds from the frame's arrival at the client to its result."""
        return self.timings.latency_s
