"""What somebody is told whose frames missed their deadline."""

import pytest

from edge_client.cli.reports.advice import Punctuality, advise, explain_waiting
from edge_client.frames.result import BUSY, Missed, Result, ServedBy, Timings


def result(latency_s: float, missed: Missed | None = None, failed: bool = False) -> Result:
    served_by = ServedBy.NONE if missed or failed else ServedBy.CLOUD
    return Result(
        0, {}, served_by, "", "cut-01", "raw", 0, 0, Timings(latency_s, 0.0), None, missed
    )


def of(deadline_s: float | None, *results: Result) -> Punctuality:
    found = Punctuality(deadline_s)
    for each in results:
        found.add(each)
    return found


def test_smallest_deadline_is_that_of_95_percent() -> None:
    # 7 in time; of the 93 others 88 would have taken 231 ms, 5 a whole second: 95 are within 231 ms.
    in_time = [result(0.08)] * 7
    busy = [result(0.1, Missed(BUSY, 0.231))] * 88
    slow = [result(0.1, Missed("cloud too slow", 1.0))] * 5
    found = of(0.1, *in_time, *busy, *slow)
    assert found.summary() == {
        "deadline_s": 0.1,
        "missed": 93,
        "why": {BUSY: 88, "cloud too slow": 5},
        "wanted_s": 0.24,
    }
    text = advise({"frames": 100, "deadline": found.summary()}, has_exits=False, name="digits")
    assert text == (
        "93 of 100 frames missed the deadline of 100 ms and have no answer: this device was too busy "
        "88, cloud too slow 5. Most would have met --deadline 240ms; or send fewer frames at once, "
        "with --window 1 or a lower --fps; or train exits, whose answers are taken when time runs out: "
        "splitpoint exits train digits --data DIR."
    )


def test_deadline_that_most_have_met_is_widened_for_all() -> None:
    found = of(0.1, *[result(0.08)] * 99, result(0.1, Missed("cloud too slow", 0.1301)))
    assert found.wanted_s == 0.14


def test_frame_of_which_nothing_is_known_counts_and_says_nothing() -> None:
    found = of(0.1, result(0.1, Missed(BUSY, None)))
    assert (found.missed, found.wanted_s) == (1, None)
    text = advise({"frames": 1, "deadline": found.summary()}, has_exits=True, name="digits")
    assert text is not None
    assert "Allow more time (--deadline)" in text
    assert "stay at a cut that has an exit" in text


@pytest.mark.parametrize("deadline_s", [None, 0.1])
def test_nothing_is_said_when_nothing_was_missed(deadline_s: float | None) -> None:
    found = of(deadline_s, result(0.08), result(0.05, failed=True))
    assert found.missed == 0
    assert found.wanted_s is None
    assert advise({"deadline": found.summary()}, has_exits=True, name="") is None


def test_waiting_for_the_window_is_explained_where_it_is_much() -> None:
    summary = {"latency_s": {"p50": 0.034}, "wait_s": 0.021, "fps": 100.0}
    assert explain_waiting(summary, window=4) == (
        "frames waited 21.0 ms for others of the window of 4; pace them with --fps, or --window 1, "
        "to compare with the plan"
    )
    assert explain_waiting(summary, window=1) is None
    assert explain_waiting({**summary, "wait_s": 0.001}, window=4) is None
    assert explain_waiting({"latency_s": None, "wait_s": None, "fps": 0.0}, window=4) is None


def test_frames_that_come_one_after_another_are_not_advised_to_be_paced() -> None:
    paced = {"latency_s": {"p50": 0.003}, "wait_s": 0.00185, "fps": 5.0}  # 0.015 at work at once
    assert explain_waiting(paced, window=4) is None


def test_deadline_that_most_have_met_is_not_said_to_be_missed_by_most() -> None:
    found = of(0.03, *[result(0.0246)] * 19, result(0.03, Missed(BUSY, 0.0649)))
    text = advise({"frames": 20, "deadline": found.summary()}, has_exits=True, name="digits")
    assert text is not None
    assert "All would have met --deadline 65.0ms" in text
    assert "--window 1 or a lower --fps" in text


def test_frames_that_came_one_at_a_time_are_not_advised_to() -> None:
    found = of(0.03, result(0.03, Missed(BUSY, 0.0649)))
    summary = {"frames": 1, "deadline": found.summary()}
    text = advise(summary, has_exits=True, name="digits", window=1)
    assert text is not None
    assert "--window" not in text
