"""Workers: who runs what the queue has ready, on real threads that wait for one another and never sleep."""

import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from cloud_server.engine.batch_queue import Waiting
from cloud_server.engine.batch_rules import ALONE, BatchRules
from cloud_server.engine.workers import Workers
from protos.errors import UnreachableError

WAIT_S = 30
FOR_EVER_US = 10**9


def waiting(rules: BatchRules = ALONE, **more: object) -> Waiting:
    known = {"model": "m", "caller": "a", "rows": 1, "nbytes": 1, "cost_s": 1.0, "arrived_ns": 0}
    return Waiting(**{"key": None if rules is ALONE else "k", "rules": rules, **known, **more})  # type: ignore[arg-type]


class Ran:
    """Notes what was run, and holds it while `gate` is closed."""

    def __init__(self) -> None:
        self.batches: queue.Queue[list[Waiting]] = queue.Queue()
        self.threads: set[str] = set()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, batch: Sequence[Waiting]) -> None:
        self.threads.add(threading.current_thread().name)
        self.batches.put(list(batch))
        assert self.gate.wait(WAIT_S)

    def next(self) -> list[Waiting]:
        return self.batches.get(timeout=WAIT_S)


@contextmanager
def working(number: int) -> Iterator[tuple[Workers[Waiting], Ran]]:
    ran = Ran()
    workers: Workers[Waiting] = Workers(number, ran)
    try:
        yield workers, ran
    finally:
        ran.gate.set()
        workers.close()


def test_worker_that_is_done_takes_what_has_gathered_meanwhile_in_one_batch() -> None:
    eager = BatchRules(max_batch_size=8)
    with working(1) as (workers, ran):
        ran.gate.clear()
        first, *others = (waiting(eager) for _ in range(5))
        workers.offer(first)
        assert ran.next() == [first]
        for one in others:
            workers.offer(one)
        ran.gate.set()
        assert ran.next() == others


@pytest.mark.parametrize("number", [1, 3])
def test_no_more_run_at_once_than_there_are_workers(number: int) -> None:
    with working(number) as (workers, ran):
        ran.gate.clear()
        for _ in range(2 * number):
            workers.offer(waiting())
        for _ in range(number):
            ran.next()
        assert ran.batches.empty()
        assert workers.queue.requests == number
        ran.gate.set()
        for _ in range(number):
            ran.next()


def test_batch_that_waits_to_grow_is_run_when_its_time_has_come() -> None:
    with working(1) as (workers, ran):
        one = waiting(BatchRules(max_batch_size=8, max_queue_delay_us=1))
        workers.offer(one)
        assert ran.next() == [one]


def test_worker_that_watches_over_a_batch_which_waits_runs_others_at_once() -> None:
    patient = BatchRules(max_batch_size=2, max_queue_delay_us=FOR_EVER_US)
    with working(1) as (workers, ran):
        now_ns = time.perf_counter_ns()
        first = waiting(patient, arrived_ns=now_ns)
        workers.offer(first)
        for _ in range(3):
            other = waiting()
            workers.offer(other)
            assert ran.next() == [other]
        second = waiting(patient, arrived_ns=now_ns)
        workers.offer(second)  # full, so that it waits no more
        assert ran.next() == [first, second]


def test_batch_that_waits_is_watched_over_by_another_while_the_watcher_runs() -> None:
    patient = BatchRules(max_batch_size=4, max_queue_delay_us=20_000)
    with working(2) as (workers, ran):
        one = waiting(patient, arrived_ns=time.perf_counter_ns())
        workers.offer(one)
        ran.gate.clear()
        other = waiting()
        workers.offer(other)  # taken by the one that watched
        assert {*ran.next(), *ran.next()} == {one, other}


def test_workers_that_were_idle_are_woken_again() -> None:
    with working(2) as (workers, ran):
        for _ in range(5):
            workers.offer(waiting())
            ran.next()
            ends_at = time.monotonic() + WAIT_S
            while workers._busy:  # it still has to find that there is no more
                assert time.monotonic() < ends_at


def test_delay_beyond_what_a_thread_can_wait_for_is_long_enough() -> None:
    endless = BatchRules(max_batch_size=2, max_queue_delay_us=10**18)
    with working(1) as (workers, ran):
        workers.offer(waiting(endless))
        other = waiting()
        workers.offer(other)
        assert ran.next() == [other]


def test_run_that_raises_costs_no_worker(caplog: pytest.LogCaptureFixture) -> None:
    done: queue.Queue[int] = queue.Queue()

    def run(batch: Sequence[Waiting]) -> None:
        done.put(len(batch))
        raise RuntimeError("a bug")

    workers: Workers[Waiting] = Workers(1, run)
    for _ in range(3):
        workers.offer(waiting())
        assert done.get(timeout=WAIT_S) == 1
    workers.close()
    assert "a batch has failed" in caplog.text


def test_closing_returns_what_waits_and_begins_nothing_more() -> None:
    with working(1) as (workers, ran):
        ran.gate.clear()
        workers.offer(waiting())
        ran.next()
        others = [waiting() for _ in range(3)]
        for one in others:
            workers.offer(one)
        assert set(workers.close()) == set(others)
        ran.gate.set()
        with pytest.raises(UnreachableError, match="shutting down"):
            workers.offer(waiting())
        assert ran.batches.empty()


def test_everything_is_run_once_or_withdrawn_whatever_the_threads_do() -> None:
    rng = random.Random(0)
    kinds = [
        ALONE,
        BatchRules(max_batch_size=4),
        BatchRules(max_batch_size=3, preferred_batch_size=(2,), max_queue_delay_us=50),
    ]
    with working(3) as (workers, ran):
        sent, withdrawn = [], set()
        for number in range(600):
            rules = kinds[rng.randrange(3)]
            one = waiting(rules, key=None if rules is ALONE else rules.max_batch_size, rows=1)
            workers.offer(one)
            sent.append(one)
            if number % 7 == 0 and workers.withdraw(victim := rng.choice(sent)):
                withdrawn.add(victim)
        times: Counter[Waiting] = Counter()
        while sum(times.values()) < len(sent) - len(withdrawn):
            times.update(ran.next())
        assert set(times) == set(sent) - withdrawn
        assert set(times.values()) == {1}
        assert len(ran.threads) <= 3
