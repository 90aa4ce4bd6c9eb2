"""Counts of one model, against sums done by hand."""

from cloud_server.observability.tally import BUCKETS_NS, Tally
from protos.serving.answers import Spent

MS = 1_000_000


def test_stages_of_answers_add_up() -> None:
    tally = Tally()
    tally.add_answer(Spent(1 * MS, 2 * MS, 3 * MS, 4 * MS, rows=5), 10 * MS)
    tally.add_answer(Spent(10 * MS, 20 * MS, 30 * MS, 40 * MS, rows=1), 100 * MS)
    assert (tally.total.count, tally.total.ns) == (2, 110 * MS)
    assert (tally.queue.count, tally.queue.ns) == (2, 11 * MS)
    assert (tally.decode.count, tally.decode.ns) == (2, 22 * MS)
    assert (tally.compute.count, tally.compute.ns) == (2, 33 * MS)
    assert (tally.encode.count, tally.encode.ns) == (2, 44 * MS)
    assert tally.rows == 6


def test_time_at_the_end_of_a_bucket_is_in_it_and_one_beyond_the_last_is_behind_it() -> None:
    tally = Tally()
    for ns in (0, 250_000, 250_001, BUCKETS_NS[-1], BUCKETS_NS[-1] + 1):
        tally.queue.add(ns)
    counts = tally.queue.counts
    assert counts[:2] == [2, 1]  # 0 and 0.25 ms; 0.250001 ms
    assert counts[-2:] == [1, 1]  # 8.192 s; more
    assert sum(counts) == 5


def test_executions_are_told_apart_by_their_rows() -> None:
    tally = Tally()
    for rows in (1, 4, 4):
        tally.add_execution(rows, 1 * MS, rows * MS, 2 * MS)
    assert tally.executions == 3
    assert {size: batch.compute.count for size, batch in tally.batches.items()} == {1: 1, 4: 2}
    assert tally.batches[4].compute.ns == 8 * MS
    assert tally.batches[4].rows == 8


def test_sizes_of_batches_that_a_caller_chooses_make_a_bounded_list() -> None:
    tally = Tally()
    for rows in range(1, 2001):
        tally.add_execution(rows, 0, 0, 0)
    assert tally.executions == 2000
    assert len(tally.batches) <= 64 + 11  # 64 as they came, then powers of two up to 2048
    assert sum(batch.compute.count for batch in tally.batches.values()) == 2000
    assert sum(batch.rows for batch in tally.batches.values()) == 2000 * 2001 // 2
    # 65 to 2000 are behind the 64: 1025 to 2000 are 976 under 2048.
    assert tally.batches[2048].compute.count == 976
