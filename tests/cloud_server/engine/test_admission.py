"""Who is let in: bounds by time, bytes and number; what the refused are told; and who counts as greedy."""

import pytest

from cloud_server.engine.admission import Admission, PushBack, QueueLimits
from protos.errors import OverloadedError
from tests.kit.clocks import FakeClock

RUN_S, LONG_S = 0.005, 0.5
LIMITS = QueueLimits(requests=100, nbytes=1000, wait_s=0.1)


class Asked:
    """An admission whose workers take RUN_S a request, as was predicted, and which have waited for long."""

    def __init__(self, workers: int = 1, limits: QueueLimits = LIMITS) -> None:
        self.clock = FakeClock()
        self.admission = Admission(limits, workers, self.clock)
        for _ in range(50):
            self.admission.ran(RUN_S, LONG_S)

    def lets_in(self, waiting: float, caller: str = "a", nbytes: int = 0) -> bool:
        """Tell whether one of `caller` gets in while so many requests wait."""
        try:
            self.admission.check(caller, waiting * RUN_S, nbytes)
        except OverloadedError:
            return False
        return True

    def most_waiting(self, caller: str = "a") -> int:
        """Return how many requests may wait, found without being refused: by the highest that gets in."""
        return next(waiting for waiting in range(100, -1, -1) if self.lets_in(waiting, caller)) + 1


def test_burst_waits_for_as_long_as_is_allowed() -> None:
    asked = Asked()
    assert asked.lets_in(19)  # 95 ms
    assert not asked.lets_in(20)  # 100 ms


def test_sixteen_runs_wait_however_long_they_take() -> None:
    admission = Admission(LIMITS, 1, FakeClock())
    for _ in range(50):
        admission.ran(1.0, 10 * LONG_S)
    admission.check("a", 15.9, 0)
    with pytest.raises(OverloadedError):
        admission.check("a", 16.1, 0)


def test_prediction_alone_closes_no_queue_before_a_request_has_waited_for_a_quarter() -> None:
    asked = Asked()
    asked.admission.ran(RUN_S, waited_s=0.024)
    assert asked.lets_in(99)
    asked.admission.ran(RUN_S, waited_s=0.025)
    assert not asked.lets_in(99)


def test_workers_share_what_waits() -> None:
    asked = Asked(workers=4)
    assert asked.lets_in(79)
    assert not asked.lets_in(80)


def test_after_a_refusal_the_queue_holds_what_keeps_the_workers_busy() -> None:
    asked = Asked()
    assert not asked.lets_in(20)
    assert asked.most_waiting() == 2  # of 1.5 runs
    two = Asked(workers=2)
    assert not two.lets_in(40)
    assert two.most_waiting() == 3  # one and a half for each


def test_queue_is_short_until_a_second_has_gone_by_without_a_refusal() -> None:
    asked = Asked()
    assert not asked.lets_in(20)
    asked.clock.now_s += 0.9
    assert not asked.lets_in(5)  # begins the second anew
    asked.clock.now_s += 0.9
    assert not asked.lets_in(5)
    asked.clock.now_s += 1.1
    assert asked.lets_in(5)


def test_one_run_that_was_held_up_makes_no_server_slow() -> None:
    asked = Asked()
    asked.admission.ran(1000 * RUN_S, LONG_S)
    # Runs are believed to take 7 ms, and 16 of them may wait.
    assert asked.lets_in(22)  # 110 ms
    assert not asked.lets_in(23)


def test_short_queue_of_short_runs_is_four_milliseconds() -> None:
    admission = Admission(LIMITS, 1, FakeClock())
    admission.ran(0.0001, LONG_S)
    with pytest.raises(OverloadedError):
        admission.check("a", 0.1, 0)
    admission.check("a", 0.0039, 0)
    with pytest.raises(OverloadedError):
        admission.check("a", 0.0041, 0)


def test_idle_server_lets_a_request_in_whatever_it_takes() -> None:
    asked = Asked(limits=QueueLimits(requests=1, nbytes=1, wait_s=1e-9))
    assert asked.lets_in(0)


def test_server_that_has_run_nothing_counts_requests() -> None:
    admission = Admission(QueueLimits(2, 1000, 0.1), 1, FakeClock())
    for caller in "ab":
        admission.check(caller, 0.0, 0)
        admission.entered(caller)
    with pytest.raises(OverloadedError, match=r"^this server has 2 requests waiting, and takes"):
        admission.check("c", 0.0, 0)
    admission.left("a")
    admission.check("c", 0.0, 0)


def test_bytes_that_wait_are_bounded() -> None:
    asked = Asked()
    assert asked.lets_in(1, nbytes=999)
    assert not asked.lets_in(1, nbytes=1000)


def test_who_has_more_in_the_server_than_others_is_refused_first() -> None:
    asked = Asked()
    for caller in ("greedy", "greedy", "greedy", "modest"):
        asked.admission.entered(caller)
    assert not asked.lets_in(20)
    assert asked.most_waiting("greedy") == 1  # a third of 1.5 runs
    assert asked.most_waiting("modest") == 2
    assert asked.most_waiting("new") == 2
    for _ in range(3):
        asked.admission.left("greedy")
    assert asked.most_waiting("greedy") == 2


def test_refusal_says_to_come_again_when_the_queue_will_be_worked_off() -> None:
    asked = Asked()
    with pytest.raises(OverloadedError) as caught:
        asked.admission.check("a", 0.2, 0)
    assert 0.75 * 0.2 <= caught.value.retry_after_s <= 1.25 * 0.2


def after(windows: int, admitted: int, refused: int) -> tuple[PushBack, FakeClock]:
    clock = FakeClock()
    push_back = PushBack(clock)
    for _ in range(windows):
        clock.now_s += 0.3
        for _ in range(admitted):
            push_back.admitted()
        for _ in range(refused):
            push_back.refused(0.02)
    return push_back, clock


def test_refused_stay_away_for_longer_while_refusals_are_many_and_two_seconds_at_most() -> None:
    doubled, _ = after(windows=1, admitted=0, refused=1)
    assert 0.75 * 0.04 <= doubled.refused(0.02) <= 1.25 * 0.04
    most, _ = after(windows=20, admitted=1, refused=9)
    assert 0.75 * 2 <= most.refused(0.02) <= 1.25 * 2


def test_refused_come_back_soon_again_once_refusals_are_few() -> None:
    push_back, clock = after(windows=20, admitted=1, refused=9)
    for _ in range(20):
        clock.now_s += 0.3
        for _ in range(9):
            push_back.admitted()
        push_back.refused(0.02)
    assert 0.75 * 0.02 <= push_back.refused(0.02) <= 1.25 * 0.02


def test_devices_are_told_different_times() -> None:
    push_back = PushBack(FakeClock())
    assert len({push_back.refused(0.02) for _ in range(10)}) > 5
