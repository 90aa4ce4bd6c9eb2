"""Tables that are wider than the screen go below each other in pieces: no number is ever cut off."""

from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

_EDGES, _GAP = 1, 2
"""What the box and the padding take beside the columns, of SIMPLE_HEAD and a padding of 1 behind."""


class FoldingTable:
    """A table whose first `keys` columns, which name a row, are repeated in every piece.

    A column without a header marks rows, and is repeated as well; one that stays empty is left out.
    """

    def __init__(self, title: str, columns: Sequence[Column], keys: int) -> None:
        self._title, self._columns, self._keys = title, columns, keys
        self._rows: list[tuple[Sequence[str], str | None]] = []

    @property
    def row_count(self) -> int:
        """How many rows there are, in whatever pieces."""
        return len(self._rows)

    def add_row(self, *cells: str, style: str | None = None) -> None:
        """Add a row, with a cell for every column."""
        self._rows.append((cells, style))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the pieces."""
        widths = [self._width(console, options, place) for place in range(len(self._columns))]
        used = [place for place, width in enumerate(widths) if width]
        repeated = [p for p in used if p < self._keys or not self._columns[p].header]
        others = [p for p in used if p not in repeated]
        room = options.max_width - _EDGES - sum(widths[p] + _GAP for p in repeated)
        yield Text(self._title, style="table.title")
        for piece in _pieces(others, widths, room):
            yield self._table(sorted((*repeated, *piece)))

    def _width(self, console: Console, options: ConsoleOptions, place: int) -> int:
        """Return what a column needs at least; 0 if it is empty."""
        column = self._columns[place]
        texts = [str(column.header), *(cells[place] for cells, _ in self._rows)]
        wide = options.update(max_width=10_000)
        sizes = [Measurement.get(console, wide, text) for text in texts if text]
        return max((s.maximum if column.no_wrap else s.minimum for s in sizes), default=0)

    def _table(self, places: Sequence[int]) -> Table:
        columns = [self._columns[place].copy() for place in places]
        table = Table(*columns, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for cells, style in self._rows:
            table.add_row(*(cells[place] for place in places), style=style)
        return table


def _pieces(places: Iterable[int], widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Yield the places in as few runs as fit into `room`; one that is wider by itself is alone."""
    piece: list[int] = []
    left = room
    for place in places:
        if piece and widths[place] + _GAP > left:
            yield piece
            piece, left = [], room
        piece.append(place)
        left -= widths[place] + _GAP
    yield piece


def new_table(title: str, *columns: str, left: int, keys: int = 1) -> FoldingTable:
    """Return a table whose columns after the first `left` ones hold numbers, and whose first `keys` ones
    name a row."""
    made = [
        Column(
            header,
            justify="left" if position < left else "right",
            no_wrap=header not in ("after", "with", "misses"),
        )
        for position, header in enumerate(columns)
    ]
    return FoldingTable(title, made, keys)
