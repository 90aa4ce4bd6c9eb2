"""Moves on stderr: at once, and many of them in one line."""

from dataclasses import replace

import pytest

from edge_client.cli.reports.moves import MoveTeller
from edge_client.frames.choice import Choice, choose
from partitioner.bundle.bundle import Bundle
from tests.kit.clocks import FakeClock


@pytest.fixture
def choices(residual_bundle: Bundle) -> tuple[Choice, Choice]:
    """Two choices, each with a reason of its own."""
    return choose(residual_bundle, "edge", None, "why not"), choose(
        residual_bundle, "cut-01", "raw", "the uplink rose"
    )


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_single_move_is_said_at_once_and_staying_never(
    choices: tuple[Choice, Choice], capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = choices
    moves, time = MoveTeller(here, clock := FakeClock()), clock
    moves.note(here)
    assert not lines(capsys)
    moves.note(there)
    assert lines(capsys) == ["cut cut-01/raw: the uplink rose"]
    time.now_s += 60
    moves.note(replace(there, reason="as before"))
    moves.finish()
    assert not lines(capsys)
    moves.note(replace(there, exits_from=0.5))
    assert len(lines(capsys)) == 1


def test_fifty_moves_in_five_seconds_are_two_lines(
    choices: tuple[Choice, Choice], capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = choices
    moves, time = MoveTeller(here, clock := FakeClock()), clock
    for move in range(50):
        moves.note(here if move % 2 else there)
        time.now_s += 0.1
    moves.finish()
    assert lines(capsys) == [
        "cut cut-01/raw: the uplink rose",
        "cut edge: why not (the last of 49 moves in 4.90 s)",
    ]


def test_move_that_was_held_back_is_said_once_the_time_has_passed(
    choices: tuple[Choice, Choice], capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = choices
    moves, time = MoveTeller(here, clock := FakeClock()), clock
    moves.note(there)
    time.now_s += 1
    moves.note(here)
    assert len(lines(capsys)) == 1
    time.now_s += 4
    moves.note(here)
    assert lines(capsys) == ["cut edge: why not"]
