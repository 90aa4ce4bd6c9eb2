"""Small tables: aligned, escaped, and handed to pandas where that is installed."""

import sys
from types import ModuleType

import pytest

from partitioner.common.tables import data_frame, html_table, text_table
from protos.errors import UsageError

ROWS = [("edge", "0 B"), ("cut-04/q2", "1.08 kB")]


def test_numbers_of_a_text_table_stand_to_the_right() -> None:
    text = text_table("what goes up", ("option", "upload"), ROWS)
    assert text.splitlines() == [
        "what goes up",
        "  option      upload",
        "  edge           0 B",
        "  cut-04/q2  1.08 kB",
    ]


def test_html_is_escaped_and_has_no_script() -> None:
    page = html_table("<script>alert(1)</script>", ("a & b", "c"), [('"x"', "<b>")], bold=0)
    assert "<script" not in page
    assert "<caption>&lt;script&gt;alert(1)&lt;/script&gt;</caption>" in page
    assert "<th>a &amp; b</th>" in page
    assert "<td><b>&quot;x&quot;</b></td><td><b>&lt;b&gt;</b></td>" in page


def test_data_frame_is_made_by_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    class DataFrame:
        @staticmethod
        def from_records(rows: object) -> object:
            return "frame", rows

    pandas = ModuleType("pandas")
    pandas.DataFrame = DataFrame  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    assert data_frame(({"a": 1},)) == ("frame", [{"a": 1}])


def test_without_pandas_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"Run: pip install pandas; or take to_dict\(\)"):
        data_frame([])
