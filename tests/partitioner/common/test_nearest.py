"""What a misspelt name may have been meant to be."""

from partitioner.common.nearest import meant_text


def test_nearest_is_named_whatever_the_case_and_of_equals_the_first() -> None:
    cuts = ("cloud", *(f"cut-{at:02d}" for at in range(1, 14)), "edge")
    assert meant_text("cut-3", cuts) == " Did you mean cut-03?"
    assert meant_text("Cloud", cuts) == " Did you mean cloud?"


def test_name_of_something_else_is_no_misspelling() -> None:
    assert meant_text("speed", ("latency", "bytes")) == ""
    assert meant_text("x", ()) == ""
