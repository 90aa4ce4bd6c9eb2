"""The book of requests: what each model was asked for, how that ended, and where the time went."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

import grpc

from cloud_server.observability.tally import Tally
from protos.errors import QuotaError, SplitpointError
from protos.rpc.status import code_of
from protos.serving.answers import NO_MODEL, Job, ServedKey, Spent


class RequestBook:
    """Counts in plain integers; whoever asks makes metrics of them. Belongs to the event loop's thread.

    A name that no model has makes no entry of its own: what failed before its model was known counts
    under NO_MODEL.
    """

    def __init__(
        self,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._clock_ns = clock_ns
        self._wall_s = wall_s
        self._tallies: dict[ServedKey, Tally] = {}
        self._pending: Counter[ServedKey] = Counter()

    @property
    def pending(self) -> int:
        """Requests that were let in and are not answered yet."""
        return self._pending.total()

    @property
    def pending_by_model(self) -> Mapping[ServedKey, int]:
        """The same by model and version."""
        return MappingProxyType(self._pending)

    @property
    def tallies(self) -> Mapping[ServedKey, Tally]:
        """The counts by model and version."""
        return MappingProxyType(self._tallies)

    def entered(self, job: Job) -> None:
        """Count one that was let in."""
        self._pending[job.served] += 1

    def left(self, job: Job) -> None:
        """Count one out again."""
        self._pending[job.served] -= 1

    def keep(self, served: Collection[ServedKey]) -> None:
        """Forget the counts of models that are not served any more, and of which nothing is pending."""
        for key in self._tallies.keys() - set(served) - {NO_MODEL}:
            if not self._pending[key]:
                del self._tallies[key], self._pending[key]

    def ended(self, job: Job, future: asyncio.Future[Any]) -> None:
        """Count a request by what its future brings: an error, or an answer's bytes if `spent` is known."""
        if future.cancelled():
            self.failed(job, grpc.StatusCode.CANCELLED.name)
        elif error := future.exception():
            self.failed(job, _code(error).name)
            self._of(job.served).over_quota += isinstance(error, QuotaError)
        elif job.spent is not None:
            self.answered(job, job.spent, len(future.result()))

    def answered(self, job: Job, spent: Spent, answer_bytes: int) -> None:
        """Count a request that has its answer."""
        tally = self._of(job.served)
        tally.add_answer(spent, self._clock_ns() - job.received_ns)
        tally.request_bytes += job.size_bytes
        tally.answer_bytes += answer_bytes
        tally.last_time_s = self._wall_s()

    def executed(
        self, served: ServedKey, rows: int, decode_ns: int, compute_ns: int, encode_ns: int
    ) -> None:
        """Count one run of a graph, which may be for several requests at once."""
        self._of(served).add_execution(rows, decode_ns, compute_ns, encode_ns)

    def failed(self, job: Job, code: str) -> None:
        """Count a request that ended with a status code other than OK, by the name of the code."""
        tally = self._of(job.served)
        tally.failures[code] += 1
        tally.failed_ns += self._clock_ns() - job.received_ns
        tally.request_bytes += job.size_bytes
        if job.served != NO_MODEL:
            tally.last_time_s = self._wall_s()

    def _of(self, served: ServedKey) -> Tally:
        tally = self._tallies.get(served)
        if tally is None:
            tally = self._tallies[served] = Tally()
        return tally


def _code(error: BaseException) -> grpc.StatusCode:
    return code_of(error) if isinstance(error, SplitpointError) else grpc.StatusCode.INTERNAL
