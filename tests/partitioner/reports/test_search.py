"""The sentence that a search begins with."""

from typing import cast

import pytest

from partitioner.graph.cuts import FoundCut
from partitioner.network.link import Link
from partitioner.planning.option import Option
from partitioner.reports.search import Row, doubt_text, search_text
from partitioner.search.explorer import LinkAnswer, PricedCut
from partitioner.search.survivors import Assumption, Loss, Survivor, Win

LINK = Link(10e6, 100e6, 0.02)
OPTION = Option("cut-07", "q4", 0.01, 1000, 0.02, 0.0045, 100, 4000, 1, 1)
HELD, NEW = (Row(cast(Survivor, None), "cut-01", added=added) for added in (False, True))
MISSING = Row(cast(Survivor, None), None, added=False)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "No link makes a cut within the model best: one of its ends always is."),
        ([HELD], "1 cut within the model is best on some link: the bundle has them all."),
        (
            [HELD, MISSING],
            "2 cuts within the model are best on some link: 1 of them not in the bundle.",
        ),
        (
            [HELD, NEW, MISSING],
            "3 cuts within the model are best on some link: 1 of them added, 1 of them not in the bundle.",
        ),
    ],
)
def test_cuts_that_were_found_are_counted(rows: list[Row], sentence: str) -> None:
    assert search_text(rows, None) == sentence


@pytest.mark.parametrize(("bits", "words"), [(None, "exact values"), (2.0, "2 bit, if accurate")])
def test_option_of_the_plan_comes_first_and_then_what_may_be_better(
    bits: float | None, words: str
) -> None:
    alone = search_text([HELD], LinkAnswer(LINK, OPTION, None))
    first = "On 10.0 Mbit/s up, 100 Mbit/s down, RTT 20.0 ms cut-07/q4 is the best option: 34.5 ms"
    assert alone.startswith(f"{first}. 1 cut")
    lacking = PricedCut("Relu_3", 0.01, 1000, 0.0301, None, bits)
    assert search_text([HELD], LinkAnswer(LINK, OPTION, lacking)).startswith(
        f"{first}; by the seconds of nodes, a cut that the bundle lacks, after Relu_3, takes 30.1 ms "
        f"({words}). 1 cut"
    )


def test_win_whose_loss_nobody_measured_is_marked() -> None:
    def row(loss: Loss) -> Row:
        win = Win(Assumption(2.0, 4.0), 1e6, 2e6, 2.0, loss)
        return Row(Survivor(cast(FoundCut, None), 1.0, 1.0, (win,)), "cut-01", added=False)

    assert str(row(Loss.UNKNOWN).survivor.wins[0]) == "2 bit?, edge x4"
    assert str(row(Loss.ALLOWED).survivor.wins[0]) == "2 bit, edge x4"
    assert "was not measured" in doubt_text([row(Loss.UNKNOWN)])
    assert doubt_text([row(Loss.ALLOWED)]) == ""
