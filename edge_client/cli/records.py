"""JSON lines of frames, to stdout and to a file, and their sum at the end."""

import json
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TextIO

from edge_client.cli.advice import advise
from edge_client.cli.live_view import print_summary
from edge_client.cli.tally import Tally
from edge_client.client.async_client import AsyncEdgeClient
from edge_client.client.sync_client import EdgeClient
from partitioner.terminal import console
from protos.errors import FileError, UsageError


class RecordWriter:
    """Writes records as JSON lines, at once, to stdout and to a file, where they are wanted.

    Safe to call from several threads.
    """

    def __init__(self, path: Path | None, to_stdout: bool) -> None:
        self._path = path
        self._file: TextIO | None = None
        self._to_stdout = to_stdout
        self._error: FileError | None = None
        self._lock = threading.Lock()

    def write(self, record: dict[str, Any]) -> None:
        """Write one record as a line; FileError when the file takes no more, once."""
        with self._lock:
            found = self._put(record)
            error, self._error = self._error or found, None
        if error is not None:
            raise error

    def note(self, record: dict[str, Any]) -> None:
        """Write one record as a line; what goes wrong is raised by the next `write`."""
        with self._lock:
            found = self._put(record)
            self._error = self._error or found

    def _put(self, record: dict[str, Any]) -> FileError | None:
        if self._to_stdout:
            console.print_json(record, indent=None)
        if self._file is None:
            return None
        try:
            self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            self._close()
            refused = FileError(
                f"--output {self._path} takes no more: {error.strerror}. It holds what came before. "
                "Make room, or give another file."
            )
            refused.__cause__ = error
            return refused
        return None

    def __enter__(self) -> Self:
        if self._path is not None:
            try:
                self._file = self._path.open("w")
            except OSError as error:
                raise UsageError(
                    f"--output {self._path} cannot be written: {error.strerror}. Give another file."
                ) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # what cannot be written has been said already
                file.close()


def sum_up(
    tally: Tally,
    client: EdgeClient | AsyncEdgeClient,
    writer: RecordWriter,
    *,
    as_json: bool,
    dropped: int = 0,
    unreadable: int = 0,
) -> None:
    """Write the summary of what was done, as a table where people read, and what would make it better."""
    summary = tally.summary(dropped=dropped, unreadable=unreadable, link=client.link)
    summary |= {"fallbacks": dict(client.fallbacks), "switches": client.switches}
    bundle = client.bundle
    if not as_json:
        print_summary(summary, bundle)
    writer.write({"summary": summary})
    if advice := advise(summary, has_exits=bundle.exits is not None, name=str(bundle.path)):
        console.complain(advice)
