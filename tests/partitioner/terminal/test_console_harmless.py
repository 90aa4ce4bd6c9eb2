"""Names that come from files and over the network: no terminal obeys them."""

import json
from io import StringIO

import pytest
from rich.progress import Progress, TextColumn
from rich.table import Table

from partitioner.terminal import console

HOSTILE = "a\x1b[2Jb\x9b31mc\u202ed"
SHOWN = "a\\x1b[2Jb\\x9b31mc\\u202ed"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    """What a terminal with colours would get."""
    file = StringIO()
    for one in (console.screen, console.notes):
        monkeypatch.setattr(one, "_file", file)
        monkeypatch.setattr(one, "_width", 200)
        monkeypatch.setattr(one, "_force_terminal", True)
    return file


def test_tables_and_lines_show_what_commands_a_terminal(written: StringIO) -> None:
    table = Table("name")
    table.add_row(HOSTILE)
    console.screen.print(table)
    console.screen.print(HOSTILE, markup=False)
    console.screen.print(f"[bold]{HOSTILE.replace('[', chr(92) + '[')}[/]")
    shown = written.getvalue()
    assert shown.count(SHOWN) == 2
    assert shown.count("a\\x1b[2Jb") == 3  # a cell may be cut off
    assert not {"\x1b", "\x9b", "\u202e"} & set(shown)


def test_remarks_and_errors_show_it_on_their_lines(written: StringIO) -> None:
    console.remark(f"one {HOSTILE}\ntwo")
    console.complain(HOSTILE)
    assert written.getvalue().count(SHOWN) == 2
    assert "\ntwo" in written.getvalue()


def test_what_rich_itself_sends_to_a_terminal_stays(written: StringIO) -> None:
    with Progress(TextColumn("{task.description}"), console=console.notes) as bar:
        bar.add_task("measuring")
    assert "\x1b[" in written.getvalue()
    assert "\\x1b" not in written.getvalue()


def test_documents_have_it_escaped_and_stay_what_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console.print_json({"name": HOSTILE + "äß🙂"})
    text = capsys.readouterr().out
    assert json.loads(text) == {"name": HOSTILE + "äß🙂"}
    assert "äß🙂" in text
    assert not {"\x1b", "\x9b"} & set(text)
