"""Books of several processes, against one book that saw everything."""

import copy
import random
from typing import Any

from pydantic import TypeAdapter

from cloud_server.observability.book_sums import BookSums, ProcessCosts, ToldBooks
from cloud_server.observability.call_book import INFER_STREAM, CallBook, Method
from cloud_server.observability.request_book import RequestBook
from protos.serving.answers import Job, Spent

MODELS = (("net", "1"), ("net.cut-1", "1"), ("other", "2"))
UNARY = Method("/a.B/C", "unary")
STREAM = Method(INFER_STREAM, "bidi_stream")


class Books:
    """The books of one process, on clocks that a test sets."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.requests = RequestBook(lambda: self.now_ns, lambda: self.now_ns / 1e9)
        self.calls = CallBook(lambda: self.now_ns)

    def note(self, seed: int) -> None:
        """Count a request, a run of a graph, a failure and two calls; all follows from the seed."""
        chance = random.Random(seed)
        self.now_ns = seed * 10**9
        job = Job(b"x" * chance.randrange(100), bytes, "edge")
        job.received_ns, job.served = self.now_ns - chance.randrange(10**9), chance.choice(MODELS)
        self.requests.entered(job)
        spent = Spent(*(chance.randrange(10**8) for _ in range(4)), rows=chance.randrange(1, 4))
        self.requests.answered(job, spent, 9)
        self.requests.executed(job.served, *spent.execution[:1], 5, 6, 7)
        if chance.random() < 0.5:
            self.requests.failed(job, chance.choice(["CANCELLED", "INTERNAL"]))
            self.requests.left(job)
        self.calls.end(self.calls.begin(UNARY, "edge"), chance.choice(["OK", "UNKNOWN"]))
        self.calls.begin(STREAM, f"device-{chance.randrange(5)}")

    def told(self, **more: Any) -> ToldBooks:
        return ToldBooks(
            tallies=list(self.requests.tallies.items()),
            methods=list(self.calls.methods.items()),
            pending=list(self.requests.pending_by_model.items()),
            streaming=self.calls.streaming,
            **more,
        )


def test_books_of_three_processes_add_up_to_the_book_that_saw_everything() -> None:
    whole, parts = Books(), [Books() for _ in range(3)]
    for seed in range(200):
        whole.note(seed)
        parts[seed % 3].note(seed)
    sums = BookSums(parts[0].requests, parts[0].calls)
    told = TypeAdapter(ToldBooks)
    for number in (1, 2):
        sums.take(number, told.validate_json(told.dump_json(parts[number].told())))
    assert sums.tallies == dict(whole.requests.tallies)
    assert {k: n for k, n in sums.pending_by_model.items() if n} == {
        k: n for k, n in whole.requests.pending_by_model.items() if n
    }
    assert sums.methods == whole.calls.methods
    assert (sums.streams, sums.devices) == (whole.calls.streams, whole.calls.devices)


def test_replica_that_has_ended_still_counts_and_holds_nothing() -> None:
    own, replica = Books(), Books()
    for seed in range(20):
        replica.note(seed)
    sums = BookSums(own.requests, own.calls)
    for _ in range(2):  # one after the other
        costs = ProcessCosts(cpu_s=1.0, resident_bytes=7)
        sums.take(1, replica.told(loads=2, tail_bytes=[(MODELS[0], 5)], costs=costs))
        sums.end(1)
    once = dict(replica.requests.tallies)
    for key, tally in sums.tallies.items():
        assert tally.total.count == 2 * once[key].total.count
    assert sum(one.loads for one in sums.all_told) == 4
    assert (sums.streams, sums.tail_bytes, dict(sums.told)) == (0, {}, {})
    assert not any(sums.pending_by_model.values())
    sums.end(1)  # it is gone
    assert len(sums.all_told) == 1


def test_models_that_are_not_served_any_more_are_forgotten() -> None:
    own, replica = Books(), Books()
    for seed in range(20):
        replica.note(seed)
    sums = BookSums(own.requests, own.calls)
    sums.take(1, replica.told())
    sums.keep(MODELS[:1])
    assert set(sums.tallies) == set(MODELS[:1])
    sums.end(1)
    sums.keep(MODELS[:1])
    sums.keep(MODELS)  # they come again, and begin at none
    assert set(sums.tallies) == set(MODELS[:1])


def test_answer_that_was_overtaken_changes_nothing() -> None:
    own, replica = Books(), Books()
    sums = BookSums(own.requests, own.calls)
    told = []
    for seed in range(2):
        replica.note(seed)
        told.append(copy.deepcopy(replica.told(costs=ProcessCosts(cpu_s=seed))))
    for one in reversed(told):
        sums.take(1, one)
    assert sums.methods == replica.calls.methods
    sums.end(1)
    sums.take(1, replica.told())  # the next one begins at none
    assert set(sums.told) == {1}
