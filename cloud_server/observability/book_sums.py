"""The books of several processes, told by each as plain data, and added up where somebody asks."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Protocol, TypeVar

from cloud_server.observability.call_book import CallBook, Method, MethodCounts
from cloud_server.observability.request_book import RequestBook
from cloud_server.observability.tally import Tally
from protos.serving.answers import ServedKey

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, kw_only=True)
class ProcessCosts:
    """What one process of a server takes: CPU seconds since it started, and bytes in memory now."""

    cpu_s: float = 0.0
    resident_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class ToldBooks:
    """What the books of one process say, as it can be told. `streaming`: the caller of each open stream.

    `loads` and the like as in TailCounts.
    """

    tallies: list[tuple[ServedKey, Tally]] = field(default_factory=list)
    methods: list[tuple[Method, MethodCounts]] = field(default_factory=list)
    loads: int = 0
    failed_loads: int = 0
    load_s: float = 0.0
    evictions: int = 0
    pending: list[tuple[ServedKey, int]] = field(default_factory=list)
    streaming: list[str] = field(default_factory=list)
    tail_bytes: list[tuple[ServedKey, int]] = field(default_factory=list)
    costs: ProcessCosts = ProcessCosts()

    def ended(self) -> "ToldBooks":
        """Return what stays of a process that has ended: what it has counted, and nothing that it has."""
        return replace(self, pending=[], streaming=[], tail_bytes=[], costs=ProcessCosts())


class RequestCounts(Protocol):
    """What is read of a book of requests, or of several."""

    @property
    def tallies(self) -> Mapping[ServedKey, Tally]:
        """The counts by model and version."""

    @property
    def pending_by_model(self) -> Mapping[ServedKey, int]:
        """Requests that were let in and are not answered yet."""

    def keep(self, served: Collection[ServedKey]) -> None:
        """Forget the counts of models that are not served any more."""


class CallCounts(Protocol):
    """What is read of a book of calls, or of several."""

    @property
    def methods(self) -> Mapping[Method, MethodCounts]:
        """The counts by method."""

    @property
    def streams(self) -> int:
        """The streams of requests that are open now."""

    @property
    def devices(self) -> int:
        """Those who have such a stream open."""


class BookSums:
    """The books of the front with those that its replicas have told last, by the number of the replica.

    Satisfies RequestCounts and CallCounts. Belongs to the event loop's thread.
    """

    def __init__(self, requests: RequestBook, calls: CallBook) -> None:
        self._requests = requests
        self._calls = calls
        self._told: dict[int, ToldBooks] = {}
        self._past: list[ToldBooks] = []
        self._unserved: set[ServedKey] = set()
        self.missing = 0
        """Replicas that are to serve and do not."""

    @property
    def told(self) -> Mapping[int, ToldBooks]:
        """What each replica has told last."""
        return self._told

    @property
    def all_told(self) -> tuple[ToldBooks, ...]:
        """The same, and what is known of replicas that have ended."""
        return (*self._told.values(), *self._past)

    @property
    def tallies(self) -> Mapping[ServedKey, Tally]:
        """The counts by model and version."""
        told = [dict(one.tallies) for one in self.all_told]
        kept = [
            {key: one for key, one in some.items() if key not in self._unserved} for some in told
        ]
        return _sums((self._requests.tallies, *kept))

    @property
    def pending_by_model(self) -> Mapping[ServedKey, int]:
        """Requests that were let in and are not answered yet."""
        return _sums(
            (self._requests.pending_by_model, *(dict(one.pending) for one in self.all_told))
        )

    @property
    def tail_bytes(self) -> dict[ServedKey, int]:
        """What tails take in the replicas, together."""
        return _sums(dict(one.tail_bytes) for one in self._told.values())

    @property
    def methods(self) -> Mapping[Method, MethodCounts]:
        """The counts by method."""
        return _sums((self._calls.methods, *(dict(one.methods) for one in self.all_told)))

    @property
    def streams(self) -> int:
        """The streams of requests that are open now."""
        return len(self._streaming())

    @property
    def devices(self) -> int:
        """Those who have such a stream open; one with a stream at several processes counts once."""
        return len(set(self._streaming()))

    def take(self, number: int, told: ToldBooks) -> None:
        """Note what a replica tells now, unless it has told something newer: counters never go back."""
        known = self._told.get(number, told)
        if told.costs.cpu_s >= known.costs.cpu_s:
            self._told[number] = told

    def end(self, number: int) -> None:
        """Note that a replica has ended: what it had counted by then still counts."""
        if (told := self._told.pop(number, None)) is not None:
            self._past = [_joined([*self._past, told.ended()])]

    def keep(self, served: Collection[ServedKey]) -> None:
        """Forget the counts of models that are not served any more; replicas do so with their own."""
        self._requests.keep(served)
        kept = {*served, ("", "")}
        self._past = [
            replace(one, tallies=[told for told in one.tallies if told[0] in kept])
            for one in self._past
        ]
        known = {key for one in self.all_told for key, _ in one.tallies}
        self._unserved = {key for key in known - set(served) if key != ("", "")}

    def _streaming(self) -> list[str]:
        return [*self._calls.streaming, *(name for one in self.all_told for name in one.streaming)]


def added(one: Any, other: Any) -> Any:
    """Return the sum of two counts: numbers, or lists, dictionaries and dataclasses of counts."""
    if isinstance(one, Counter):
        return one + other
    if isinstance(one, dict):
        return _sums((one, other))
    if isinstance(one, list):
        return [added(*pair) for pair in zip(one, other, strict=True)]
    if isinstance(one, Tally):
        return replace(
            _fields_added(one, other), last_time_s=max(one.last_time_s, other.last_time_s)
        )
    return _fields_added(one, other) if is_dataclass(one) else one + other


def _fields_added(one: Any, other: Any) -> Any:
    names = [field.name for field in fields(one)]
    return type(one)(**{name: added(getattr(one, name), getattr(other, name)) for name in names})


def _sums(parts: Iterable[Mapping[K, V]]) -> dict[K, V]:
    """Return the sums by key."""
    found: dict[K, V] = {}
    for part in parts:
        for key, value in dict(part).items():
            found[key] = added(found[key], value) if key in found else value
    return found


def _joined(parts: Iterable[ToldBooks]) -> ToldBooks:
    """Return what several processes that have ended have counted together."""
    found = list(parts)
    return ToldBooks(
        tallies=list(_sums(dict(one.tallies) for one in found).items()),
        methods=list(_sums(dict(one.methods) for one in found).items()),
        loads=sum(one.loads for one in found),
        failed_loads=sum(one.failed_loads for one in found),
        load_s=sum(one.load_s for one in found),
        evictions=sum(one.evictions for one in found),
    )
