"""The book of calls: every gRPC call of the server by its method, how it ended, and how long it took."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from cloud_server.observability.tally import Histogram
from protos.serving.callers import CALLER

INFER_STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"


@dataclass(frozen=True)
class Method:
    """A method that the server has; `kind` as go-grpc-prometheus writes it: unary, server_stream, …"""

    path: str
    kind: str

    @property
    def service(self) -> str:
        """The full name of its service."""
        return self.path[1:].rpartition("/")[0]

    @property
    def name(self) -> str:
        """Its name within the service."""
        return self.path.rpartition("/")[2]


@dataclass(slots=True)
class MethodCounts:
    """The calls of one method."""

    started: int = 0
    received: int = 0
    sent: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    times: Histogram = field(default_factory=Histogram)


class OpenCall:
    """One call from its beginning to its end; `caller` is who makes it, once that is known."""

    __slots__ = ("begun_ns", "caller", "counts", "path")

    def __init__(self, path: str, counts: MethodCounts, peer: str, begun_ns: int) -> None:
        self.path = path
        self.counts = counts
        self.caller = peer
        self.begun_ns = begun_ns

    def received(self) -> None:
        """Count a message of the client."""
        self.counts.received += 1
        if name := CALLER.get():
            self.caller = name

    def sent(self) -> None:
        """Count a message to the client."""
        self.counts.sent += 1


class CallBook:
    """Counts in plain integers. Belongs to the event loop's thread.

    Only methods that the server has make entries: what callers make up does not.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        self.methods: dict[Method, MethodCounts] = {}
        self._clock_ns = clock_ns
        self._open: set[OpenCall] = set()

    def begin(self, method: Method, peer: str) -> OpenCall:
        """Count a call that has begun."""
        counts = self.methods.get(method)
        if counts is None:
            counts = self.methods[method] = MethodCounts()
        counts.started += 1
        call = OpenCall(method.path, counts, peer, self._clock_ns())
        self._open.add(call)
        return call

    def end(self, call: OpenCall, code: str) -> None:
        """Count a call that has ended with a status code, by the name of the code."""
        self._open.discard(call)
        call.counts.ended[code] += 1
        call.counts.times.add(self._clock_ns() - call.begun_ns)

    @property
    def streams(self) -> int:
        """The streams of requests that are open now."""
        return len(self.streaming)

    @property
    def devices(self) -> int:
        """Those who have such a stream open: devices where they have names, else connections."""
        return len(set(self.streaming))

    @property
    def streaming(self) -> list[str]:
        """The caller of each of these streams."""
        return [call.caller for call in tuple(self._open) if call.path == INFER_STREAM]
