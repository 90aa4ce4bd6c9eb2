"""The book of requests: which count where, by a clock that the test moves."""

import asyncio

from cloud_server.observability.request_book import RequestBook
from protos.errors import LateError, OverloadedError, QuotaError
from protos.serving.answers import NO_MODEL, Job, Spent
from protos.wire.framing import encode_response

KEY = ("residual.cut-01", "1")


class Clock:
    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


def job(received_ns: int, served: tuple[str, str] = KEY) -> Job:
    made = Job(b"12345", encode_response)
    made.received_ns, made.served = received_ns, served
    return made


async def ended(book: RequestBook, one: Job, outcome: bytes | Exception | None) -> None:
    future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    if outcome is None:
        future.cancel()
    elif isinstance(outcome, bytes):
        future.set_result(outcome)
    else:
        future.set_exception(outcome)
    book.ended(one, future)


async def test_request_counts_by_how_it_ended() -> None:
    clock = Clock()
    book = RequestBook(clock, lambda: 17.5)
    good = job(100)
    good.spent = Spent(1, 2, 3, 4, rows=2)
    clock.ns = 110
    await ended(book, good, b"123")
    for outcome in (OverloadedError("full"), LateError("late"), KeyError("a bug"), None):
        clock.ns += 100
        await ended(book, job(clock.ns - 7), outcome)
    tally = book.tallies[KEY]
    assert (tally.total.count, tally.total.ns) == (1, 10)
    assert tally.failures == {
        "RESOURCE_EXHAUSTED": 1, "DEADLINE_EXCEEDED": 1, "INTERNAL": 1, "CANCELLED": 1,
    }  # fmt: skip
    assert tally.failed_ns == 4 * 7
    assert tally.over_quota == 0
    await ended(book, job(clock.ns), QuotaError("more than it may"))
    assert (tally.failures["RESOURCE_EXHAUSTED"], tally.over_quota) == (2, 1)
    assert (tally.request_bytes, tally.answer_bytes) == (6 * 5, 3)
    assert tally.last_time_s == 17.5


async def test_names_that_no_model_has_make_no_entries() -> None:
    book = RequestBook()
    for _ in range(3):
        await ended(book, job(0, NO_MODEL), LateError("late"))
    assert list(book.tallies) == [NO_MODEL]
    assert book.tallies[NO_MODEL].failures == {"DEADLINE_EXCEEDED": 3}
    assert book.tallies[NO_MODEL].last_time_s == 0


async def test_job_that_only_had_its_tail_loaded_counts_as_nothing_yet() -> None:
    book = RequestBook()
    future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    future.set_result(object())
    book.ended(job(0), future)
    assert not book.tallies
