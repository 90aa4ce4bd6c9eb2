"""What one model has done since the server started, as plain counts: metrics and statistics read them."""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from protos.serving.answers import Spent

BUCKETS_NS = tuple(
    int(ms * 1e6)
    for ms in (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
)
"""Upper ends of the buckets of every histogram of time; what takes longer is counted behind the last."""

_BATCH_SIZES = 64
"""That are told apart; an execution of yet another size counts under the next power of two."""


@dataclass(slots=True)
class Duration:
    """How often something was done, and how long that took together."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int) -> None:
        """Count one more."""
        self.count += 1
        self.ns += ns


@dataclass(slots=True)
class Histogram(Duration):
    """A duration whose times are sorted into BUCKETS_NS; `counts` are not cumulative."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_NS) + 1))

    def add(self, ns: int) -> None:
        """Count one more; a time equal to a bucket's end is in that bucket."""
        self.count += 1
        self.ns += ns
        self.counts[bisect_left(BUCKETS_NS, ns)] += 1


@dataclass(slots=True)
class Batch:
    """The executions of one batch size; `rows` are theirs together."""

    decode: Duration = field(default_factory=Duration)
    compute: Duration = field(default_factory=Duration)
    encode: Duration = field(default_factory=Duration)
    rows: int = 0


@dataclass(slots=True)
class Tally:
    """The counts of one model and version. Durations of stages are those of requests that were answered."""

    total: Histogram = field(default_factory=Histogram)
    queue: Histogram = field(default_factory=Histogram)
    compute: Histogram = field(default_factory=Histogram)
    decode: Duration = field(default_factory=Duration)
    encode: Duration = field(default_factory=Duration)
    failures: Counter[str] = field(default_factory=Counter)
    over_quota: int = 0
    """Of the failures those that were refused for their device's own limit."""
    failed_ns: int = 0
    rows: int = 0
    executions: int = 0
    batches: dict[int, Batch] = field(default_factory=dict)
    request_bytes: int = 0
    answer_bytes: int = 0
    last_time_s: float = 0.0

    def add_answer(self, spent: Spent, total_ns: int) -> None:
        """Count a request that was answered `total_ns` after it had come."""
        self.total.add(total_ns)
        self.queue.add(spent.queue_ns)
        self.compute.add(spent.compute_ns)
        self.decode.add(spent.decode_ns)
        self.encode.add(spent.encode_ns)
        self.rows += spent.rows

    def add_execution(self, rows: int, decode_ns: int, compute_ns: int, encode_ns: int) -> None:
        """Count one run of the graph over so many rows."""
        self.executions += 1
        size = rows if rows in self.batches or len(self.batches) < _BATCH_SIZES else _power(rows)
        batch = self.batches.setdefault(size, Batch())
        batch.decode.add(decode_ns)
        batch.compute.add(compute_ns)
        batch.encode.add(encode_ns)
        batch.rows += rows


def _power(rows: int) -> int:
    return 1 << max(rows - 1, 0).bit_length()
