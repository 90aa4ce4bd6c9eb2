"""What frames really took against what was expected, and what moves brought, by a clock of the tests."""

import math

import pytest

from partitioner.estimators.experience import Experience, Promise

EXPECTED_S = 0.1


class Stream:
    """Frames of 100 ms that come one after the other, and take so many times what is expected."""

    def __init__(self) -> None:
        self.learned = Experience()
        self.now_s = 0.0

    def serve(self, label: str, times: float, frames: int = 20) -> None:
        for _ in range(frames):
            begun = self.now_s
            self.now_s += times * EXPECTED_S
            self.learned.done(label, begun, self.now_s, EXPECTED_S, EXPECTED_S)

    def move(self, label: str, times: float, promised: float, frames: int = 20) -> None:
        """Move to an option that promises so many times what is expected, from one that takes that."""
        self.learned.moved(label, self.now_s, Promise(EXPECTED_S, promised * EXPECTED_S))
        self.serve(label, times, frames)

    def factor(self, label: str) -> float:
        return self.learned.lessons(self.now_s).factor(label, label.split("/", maxsplit=1)[0])

    @property
    def reluctance(self) -> float:
        return self.learned.lessons(self.now_s).reluctance


@pytest.fixture
def stream() -> Stream:
    return Stream()


def test_option_that_takes_what_is_expected_is_believed(stream: Stream) -> None:
    for label in ("edge", "cut-01/raw"):
        stream.move(label, 1.0, 0.5)
        stream.serve(label, 1.09)  # estimates are no better than that
    assert (stream.factor("edge"), stream.factor("cut-01/raw")) == (1.0, 1.0)


def test_option_that_disappoints_is_expected_to_and_is_tried_again_after_minutes(
    stream: Stream,
) -> None:
    stream.move("cut-01/raw", 2.0, 0.5)
    assert 1.4 < stream.factor("cut-01/raw") < 1.9
    stream.move("edge", 1.0, 1.0)
    stream.now_s += 30
    assert stream.factor("cut-01/raw") > 1.2
    stream.now_s += 900
    assert stream.factor("cut-01/raw") == 1.0


def test_each_further_disappointment_is_believed_for_longer(stream: Stream) -> None:
    factors = []
    for _ in range(3):
        stream.move("cut-01/raw", 2.0, 0.5)
        stream.move("edge", 1.0, 1.0)
        begun = stream.now_s
        stream.now_s += 200
        factors.append(stream.factor("cut-01/raw"))
        stream.now_s = begun + 2000
    assert factors[0] < factors[1] < factors[2]


def test_what_one_option_that_crosses_shows_is_expected_of_others_and_not_of_the_edge(
    stream: Stream,
) -> None:
    stream.move("cut-01/raw", 2.0, 0.5)
    assert 1.2 < stream.factor("cut-02/raw") < stream.factor("cut-01/raw")
    assert stream.factor("edge") == 1.0


def test_experience_is_bounded(stream: Stream) -> None:
    stream.move("cut-01/raw", 100.0, 0.5, frames=50)
    assert stream.factor("cut-01/raw") <= 2.5
    stream.move("cut-02/raw", 0.01, 0.5, frames=50)
    assert stream.factor("cut-02/raw") >= 0.7


def test_frames_behind_those_of_the_option_before_tell_nothing(stream: Stream) -> None:
    stream.move("edge", 1.0, 1.0)
    moved_at = stream.now_s
    stream.learned.moved("cut-01/raw", moved_at, Promise(EXPECTED_S, 0.5 * EXPECTED_S))
    for frame in range(4):  # four that came at once, and wait for each other
        done_at = moved_at + 0.1 + 0.01 * frame
        stream.learned.done("cut-01/raw", moved_at, done_at, EXPECTED_S / 9, EXPECTED_S / 9)
    stream.now_s = moved_at + 0.2
    assert stream.factor("cut-01/raw") == 1.0
    assert stream.learned.lessons(stream.now_s).settles


def test_move_that_brings_less_than_half_of_its_promise_makes_the_next_one_harder(
    stream: Stream,
) -> None:
    stream.serve("edge", 1.0)
    found = []
    for label in ("cut-01/raw", "cut-02/raw", "cut-03/raw", "cut-04/raw"):
        stream.move(label, 0.8, 0.5, frames=6)  # 20 % less than 100 ms, and half was promised
        stream.learned.moved("edge", stream.now_s)
        stream.serve("edge", 1.0, frames=6)
        found.append(stream.reluctance)
    assert found == pytest.approx([2, 4, 8, 8], rel=0.1)
    assert stream.learned.lessons(stream.now_s).fruitless == 4
    stream.now_s += 600
    assert stream.reluctance == pytest.approx(1.0, abs=0.01)
    assert stream.learned.lessons(stream.now_s).fruitless == 0


def test_move_that_keeps_its_promise_makes_the_next_one_easier_and_one_that_undoes_none_does_not(
    stream: Stream,
) -> None:
    stream.learned.moved("edge", 0.0)
    stream.serve("edge", 1.0)
    for label in ("cut-01/raw", "cut-02/raw"):
        stream.move(label, 1.2, 0.5, frames=6)
        stream.move("edge", 1.0, 0.9, frames=6)  # as it was before: no merit
    assert stream.reluctance == pytest.approx(4, rel=0.1)
    stream.move("cut-03/raw", 0.5, 0.5, frames=6)
    assert stream.reluctance == pytest.approx(2, rel=0.1)
    assert stream.learned.lessons(stream.now_s).fruitless == 0


def test_move_that_is_undone_before_it_brought_anything_brought_nothing(stream: Stream) -> None:
    stream.learned.moved("edge", 0.0)
    stream.serve("edge", 1.0)
    stream.learned.moved("cut-01/raw", stream.now_s, Promise(EXPECTED_S, 0.5 * EXPECTED_S))
    stream.learned.moved("edge", stream.now_s + 0.01, Promise(EXPECTED_S, 0.5 * EXPECTED_S))
    assert stream.reluctance == pytest.approx(2.0, rel=0.01)


def test_move_is_held_against_what_the_option_before_really_took(stream: Stream) -> None:
    """That was expected to take 100 ms, and took 50; the move promised 70, and brings them."""
    stream.serve("edge", 1.0, frames=0)
    stream.learned.moved("edge", 0.0)
    stream.serve("edge", 0.5)
    stream.move("cut-01/raw", 0.7, 0.7, frames=6)
    assert stream.reluctance == pytest.approx(2.0, rel=0.1)


def test_frames_that_scatter_say_by_how_much(stream: Stream) -> None:
    stream.learned.moved("edge", 0.0)
    for frame in range(200):
        stream.serve("edge", 1.3 if frame % 2 else 0.7, frames=1)
    assert stream.learned.lessons(stream.now_s).scatter == pytest.approx(1.25 * 0.3, rel=0.15)
    assert math.isclose(stream.factor("edge"), 1.0)


def test_move_is_not_held_against_what_the_link_does_after_it(stream: Stream) -> None:
    """It left a link that had broken, for the device, which takes what it promised."""
    stream.learned.moved("cut-01/raw", 0.0)
    stream.serve("cut-01/raw", 0.8)
    for _ in range(3):
        broken = Promise(0.9, 0.1, staying_link_s=0.8)
        stream.learned.moved("edge", stream.now_s, broken)
        stream.serve("edge", 1.0, frames=6)
        back = Promise(0.1, 0.08, link_s=0.05)
        stream.learned.moved("cut-01/raw", stream.now_s, back)
        # Of 200 ms the link takes 170: more than was promised, and no fault of the move.
        begun = stream.now_s
        for frame in range(6):
            arrived = begun + 0.2 * frame
            stream.learned.done("cut-01/raw", arrived, arrived + 0.2, 0.2, 0.03)
        stream.now_s = begun + 1.2
    assert stream.reluctance == 1.0
