"""Small tables of what was found, for a notebook or a prompt: text, HTML, and pandas' data frames."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from protos.errors import UsageError

Rows = Sequence[Sequence[str]]
"""Cells by row; the first of each names it, and the others are numbers."""


def text_table(title: str, header: Sequence[str], rows: Rows) -> str:
    """Return the table as lines of equal columns, without a line break at the end."""
    lines = [header, *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(header))]

    def line_of(cells: Sequence[str]) -> str:
        name, *numbers = (cell.strip() for cell in cells)
        padded = [f"{text:>{width}}" for text, width in zip(numbers, widths[1:], strict=True)]
        return "  ".join([f"{name:<{widths[0]}}", *padded]).rstrip()

    return "\n".join([title, *(f"  {line_of(cells)}" for cells in lines)])


def html_table(title: str, header: Sequence[str], rows: Rows, bold: int | None = None) -> str:
    """Return the table as HTML, escaped and without styles or scripts; row `bold` stands out."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        f"<tr>{''.join(_cell(cell, bold=place == bold) for cell in row)}</tr>"
        for place, row in enumerate(rows)
    )
    caption = f"<caption>{escape(title)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(text: str, *, bold: bool) -> str:
    return f"<td><b>{escape(text)}</b></td>" if bold else f"<td>{escape(text)}</td>"


def data_frame(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return a pandas.DataFrame of rows that have the same keys; UsageError where pandas is missing."""
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise UsageError(
            "a data frame needs pandas, which is not installed. Run: pip install pandas; or take "
            "to_dict(), which needs nothing."
        ) from error
    return DataFrame.from_records(list(rows))
