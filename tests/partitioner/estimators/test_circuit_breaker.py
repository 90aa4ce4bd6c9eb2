"""The breaker: when it gives a cloud up, and how it finds it again."""

import itertools
import random

import pytest

from partitioner.estimators.circuit_breaker import Breaker, BreakerSettings, Circuit
from protos.errors import (
    BundleError,
    FaultError,
    LateError,
    MismatchError,
    OverloadedError,
    SplitpointError,
    TensorError,
    TooLargeError,
    UnreachableError,
)


def opened(error: SplitpointError | None = None, now_s: float = 0.0) -> Breaker:
    breaker = Breaker()
    breaker.trip(error or UnreachableError("gone."), now_s)
    return breaker


@pytest.mark.parametrize("error", [UnreachableError("gone."), LateError("late.")])
def test_what_may_be_chance_opens_it_when_it_happens_twice(error: SplitpointError) -> None:
    breaker = Breaker()
    breaker.failed(error, begun_at=0.0, now_s=1.0)
    assert breaker.admit()
    breaker.failed(error, begun_at=1.5, now_s=2.0)
    assert (breaker.circuit, breaker.error, breaker.admit()) == (Circuit.OPEN, error, False)
    assert not breaker.answers_late  # it may as well be away


@pytest.mark.parametrize("error", [UnreachableError("gone."), LateError("late.")])
def test_success_between_failures_starts_the_count_again(error: SplitpointError) -> None:
    breaker = Breaker()
    for begun in (0.0, 2.0, 4.0):
        breaker.failed(error, begun, begun + 1)
        assert breaker.circuit is Circuit.CLOSED
        breaker.succeeded()
    assert (breaker.circuit, breaker.error) == (Circuit.CLOSED, None)


def test_requests_in_flight_when_one_fails_are_its_other_victims() -> None:
    breaker = Breaker()
    for begun in (0.0, 0.1, 0.2, 1.0):
        breaker.failed(UnreachableError("broke."), begun, 1.0)
    assert breaker.circuit is Circuit.CLOSED


@pytest.mark.parametrize("kind", [OverloadedError, FaultError, MismatchError, BundleError])
def test_what_the_server_says_itself_opens_it_at_once(kind: type[SplitpointError]) -> None:
    breaker = Breaker()
    breaker.failed(kind("no."), 0.0, 1.0)
    assert breaker.circuit is Circuit.OPEN


@pytest.mark.parametrize("kind", [TooLargeError, TensorError])
def test_what_a_frame_brought_upon_itself_says_nothing(kind: type[SplitpointError]) -> None:
    breaker = Breaker()
    for begun in range(5):
        breaker.failed(kind("too much."), float(begun), begun + 0.5)
    assert (breaker.circuit, breaker.error) == (Circuit.CLOSED, None)


def test_probe_that_gets_through_lets_one_frame_try() -> None:
    breaker = opened()
    assert not breaker.is_due(0.05)
    assert breaker.is_due(0.1)
    breaker.probed(None, 0.1)
    assert [breaker.admit(), breaker.admit()] == [True, False]
    breaker.succeeded()
    assert [breaker.admit(), breaker.admit()] == [True, True]


def test_probe_that_fails_is_soon_followed_by_another() -> None:
    breaker = opened()
    breaker.probed(UnreachableError("still gone."), 0.5)
    assert (breaker.is_due(0.55), breaker.is_due(0.6)) == (False, True)
    assert str(breaker.error) == "still gone."


def test_frame_that_fails_its_trial_makes_the_next_wait_twice_as_long_and_less_than_a_second() -> (
    None
):
    breaker = opened(OverloadedError("full."))
    now, waits = 0.0, []
    for _ in range(6):
        while not breaker.is_due(now):
            now += 0.01
        breaker.probed(None, now)
        assert breaker.admit()
        breaker.failed(OverloadedError("full."), now, now)
        begun = now
        while not breaker.is_due(now):
            now += 0.01
        waits.append(now - begun)
    assert waits == pytest.approx([0.2, 0.4, 0.8, 0.8, 0.8, 0.8], abs=0.02)


def test_overloaded_server_is_left_alone_until_it_takes_more_and_not_probed_meanwhile() -> None:
    breaker = Breaker()
    full = OverloadedError("full.", retry_after_s=0.5)
    breaker.failed(full, begun_at=0.9, now_s=1.0)
    assert [breaker.admit(now_s) for now_s in (1.0, 1.49, 1.51)] == [False, False, True]
    assert (breaker.circuit, breaker.error, breaker.is_due(1.4)) == (Circuit.CLOSED, full, False)
    breaker.succeeded()
    assert breaker.error is None


def test_server_that_asks_to_be_left_alone_for_days_is_asked_in_half_a_minute() -> None:
    breaker = Breaker()
    breaker.failed(OverloadedError("full.", retry_after_s=1e6), begun_at=0.9, now_s=1.0)
    assert [breaker.admit(now_s) for now_s in (30.9, 31.1)] == [False, True]


def test_trial_at_an_overloaded_server_is_followed_by_another_once_it_takes_more() -> None:
    breaker = opened()
    breaker.probed(None, 0.1)
    assert breaker.admit(0.1)
    breaker.failed(OverloadedError("full.", retry_after_s=0.5), begun_at=0.1, now_s=0.2)
    assert [breaker.admit(now_s) for now_s in (0.6, 0.8, 0.8)] == [False, True, False]


def test_trial_that_finds_the_cloud_away_is_no_chance() -> None:
    breaker = opened()
    breaker.probed(None, 1.0)
    assert breaker.admit()
    breaker.failed(UnreachableError("gone."), 1.0, 1.1)
    assert breaker.circuit is Circuit.OPEN


def test_server_is_given_the_time_to_warm_up_once_an_outage() -> None:
    breaker, now_s, trials = opened(LateError("late.")), 0.0, []
    for _ in range(3):
        now_s += 1.0
        breaker.probed(None, now_s)
        trials.append(0)
        while breaker.circuit is not Circuit.OPEN:
            now_s, trials[-1] = now_s + 0.1, trials[-1] + 1
            assert breaker.admit()
            breaker.failed(LateError("late."), now_s, now_s + 0.05)
    assert trials == [2, 1, 1]


def test_trial_that_its_caller_gave_up_leaves_the_place_to_another() -> None:
    breaker = opened()
    breaker.probed(None, 1.0)
    assert breaker.admit()
    breaker.withdrew()
    assert breaker.admit()


def test_probe_of_a_cloud_that_serves_changes_nothing() -> None:
    breaker = Breaker(BreakerSettings())
    breaker.probed(UnreachableError("lost."), 1.0)
    assert breaker.circuit is Circuit.CLOSED


def test_probe_that_was_dear_is_not_repeated_at_once() -> None:
    breaker = opened()
    breaker.probed(FaultError("no profile."), 10.0, wait_s=20.0)
    assert not breaker.is_due(29.9)
    assert breaker.is_due(30.0)


def test_cloud_that_answers_probes_and_late_is_late_and_not_away() -> None:
    breaker = opened(LateError("late."))
    assert not breaker.answers_late  # nothing has shown yet that it is there
    breaker.heard_late()
    assert breaker.answers_late
    breaker.probed(None, 0.1)
    for begun_at in (0.2, 0.4):  # the first of an outage may have found a server that warms up
        assert breaker.admit()
        breaker.failed(LateError("late."), begun_at, begun_at + 0.1)
    assert (breaker.circuit, breaker.answers_late) == (Circuit.OPEN, True)
    breaker.probed(UnreachableError("gone."), 0.8)
    assert not breaker.answers_late


def test_late_trial_shows_that_the_cloud_is_there_and_an_answer_in_time_that_it_is_not_late() -> (
    None
):
    breaker = opened(LateError("late."))
    breaker.probed(None, 0.1)
    assert breaker.admit()
    breaker.failed(LateError("late."), 0.2, 0.3)
    assert breaker.answers_late
    breaker.succeeded()
    assert not breaker.answers_late


def test_request_that_fails_after_its_circuit_was_opened_is_no_trial() -> None:
    breaker = Breaker()
    breaker.trip(UnreachableError("gone."), 1.0)
    breaker.failed(LateError("late."), begun_at=0.5, now_s=1.1)
    assert not breaker.answers_late
    assert breaker.is_due(1.1)


def test_late_answer_says_nothing_of_a_cloud_that_has_broken_since() -> None:
    breaker = opened(UnreachableError("gone."))
    breaker.heard_late()
    assert not breaker.answers_late


def probes_of(breaker: Breaker, until_s: float) -> list[float]:
    """When a cloud that stays away is probed; looked at ten times a second, as the edge does."""
    breaker.trip(UnreachableError("gone."), 0.0)
    found = []
    for now_s in (step / 10 for step in range(round(10 * until_s))):
        if breaker.is_due(now_s):
            found.append(now_s)
            breaker.probed(UnreachableError("gone."), now_s)
    return found


def test_cloud_that_stays_away_is_probed_ever_more_seldom_and_one_that_comes_back_soon_found() -> (
    None
):
    found = probes_of(Breaker(), 3600.0)
    waits = {before: after - before for before, after in itertools.pairwise(found)}
    assert max(wait for at_s, wait in waits.items() if at_s < 15.0) < 2.0
    assert list(waits.values())[-1] == pytest.approx(5.0, abs=0.15)
    assert len(found) < 3600 / 5 + 60


def test_cloud_with_another_server_is_probed_twice_as_often() -> None:
    breaker = Breaker()
    breaker.has_others = True
    waits = [after - before for before, after in itertools.pairwise(probes_of(breaker, 600.0))]
    assert waits[-1] == pytest.approx(2.5, abs=0.15)


def test_devices_that_lost_a_cloud_together_do_not_probe_it_together() -> None:
    shares = [random.Random(seed) for seed in range(20)]
    last = {probes_of(Breaker(spread=share.random), 300.0)[-1] for share in shares}
    assert len(last) > 10


def test_cloud_that_serves_again_is_away_for_as_short_as_before_when_it_goes_next() -> None:
    breaker = opened()
    breaker.probed(UnreachableError("gone."), 100.0)
    assert not breaker.is_due(104.9)
    breaker.probed(None, 105.0)
    assert breaker.admit()
    breaker.succeeded()
    breaker.trip(UnreachableError("gone."), 200.0)
    assert breaker.is_due(200.1)


def test_what_has_changed_here_lets_the_cloud_be_probed_at_once() -> None:
    breaker = opened()
    breaker.probed(UnreachableError("gone."), 100.0)
    breaker.hurry(101.0)
    assert breaker.is_due(101.0)


def test_frame_that_an_overloaded_cloud_must_not_get_yet_is_told_so_though_others_were_served() -> (
    None
):
    breaker = Breaker()
    full = OverloadedError("full.", retry_after_s=0.5)
    breaker.failed(full, begun_at=0.9, now_s=1.0)
    breaker.succeeded()  # a frame that was on its way
    assert not breaker.admit(1.2)
    assert breaker.refusal(1.2) is full
    breaker.trip(UnreachableError("gone."), 1.3)
    assert breaker.refusal(1.4) is breaker.error
