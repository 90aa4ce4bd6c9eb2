"""Work on all cores: in order, never far ahead, and with its first error raised."""

import threading
from collections.abc import Iterator

import pytest

from partitioner.calibration.cores import Cores


def test_results_come_in_the_order_of_the_items_and_on_several_threads() -> None:
    cores = Cores()
    cores.workers = 3
    together = threading.Barrier(3)

    def act(item: int) -> int:
        together.wait(timeout=30)  # broken unless three are at work at once
        return item * item

    assert list(cores.map(act, range(30))) == [item * item for item in range(30)]


def test_no_more_items_are_taken_than_are_under_way() -> None:
    cores = Cores()
    cores.workers = 2
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    results = cores.map(lambda item: item, items())
    assert next(results) == 0
    assert len(taken) <= 4


def test_first_error_is_raised_and_the_rest_is_not_begun() -> None:
    cores = Cores()
    cores.workers = 1
    begun: list[int] = []

    def fail(item: int) -> None:
        begun.append(item)
        raise ValueError(f"no {item}")

    with pytest.raises(ValueError, match="no 0"):
        list(cores.map(fail, range(100)))
    assert len(begun) <= 2
