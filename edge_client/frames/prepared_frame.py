"""A frame after its head: its values, the message that carries them, and what the exit says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter

from edge_client.frames.choice import Choice
from protos.rpc.endpoints import Endpoint
from protos.tensors import Array


@dataclass(frozen=True, slots=True)
class ExitAnswer:
    """The answer of the exit at a frame's cut."""

    outputs: Mapping[str, Array] = field(repr=False)
    confidence: float
    """That of the least sure sample."""
    threshold: float
    """From which it answers; more than 1 where it may not."""

    @property
    def is_sure(self) -> bool:
        """True if the frame is answered by it, and goes no further."""
        return self.confidence >= self.threshold


@dataclass(slots=True)
class PreparedFrame:
    """One frame after its head: the values that the rest needs, and the message that carries them.

    `message` is None when nothing crosses, as the head or the exit has answered; `sent_bytes` is 0 until
    it begins to leave.
    """

    frame: int
    choice: Choice
    arrived_at: float
    deadline_at: float
    values: Mapping[str, Array] = field(repr=False)
    message: bytes | None = field(repr=False)
    request_id: str
    edge_s: float
    sent_bytes: int = 0
    ready_at: float = 0.0
    """When the message was packed."""
    exit: ExitAnswer | None = None
    """None if there is no exit at the cut, or it was not asked."""
    plain_server: Endpoint | None = None
    """The standard server for which the message was packed; None: for any of ours, which compares digests."""

    def answer_by_exit(self, answer: ExitAnswer, exit_s: float) -> None:
        """Keep what the exit says, and count the seconds of asking it."""
        self.exit = answer
        self.spent(exit_s)

    def pack(self, request_id: str, message: bytes, plain_server: Endpoint | None) -> None:
        """Keep the message for the cloud."""
        self.request_id, self.message = request_id, message
        self.plain_server = plain_server
        self.ready_at = perf_counter()

    def leaves(self) -> None:
        """Note that the message has begun to leave this device."""
        self.sent_bytes = len(self.message or b"")

    def spent(self, seconds: float) -> None:
        """Count seconds that this device has computed for the frame."""
        self.edge_s += seconds
