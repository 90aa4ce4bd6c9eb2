"""The sentence that a search begins with."""

from typing import cast

import pytest

from partitioner.network.link import Link
from partitioner.reports.search import Row, search_text
from partitioner.search.explorer import FoundCut
from partitioner.search.survivors import Survivor

LINK = Link(10e6, 100e6, 0.02)
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
    assert search_text(rows, LINK, None) == sentence


def test_best_of_all_cuts_on_a_link_comes_first() -> None:
    for after, words in (
        ("cloud", "everything in the cloud is best"),
        ("Relu_3", "Relu_3 is best"),
    ):
        text = search_text([HELD], LINK, FoundCut(after, 0.01, 1000, 0.0345))
        assert text.startswith("On 10.0 Mbit/s up, 100 Mbit/s down, RTT 20.0 ms ")
        assert f"{words}: 34.5 ms, by the seconds of nodes. 1 cut" in text
