"""A frame's result as a JSON line: the record, and its way to stdout and to a file."""

import json
import threading
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TextIO

from edge_client.cli.reports.interpretation import Interpretation, plain_outputs
from edge_client.frames.result import Result
from partitioner.terminal import console
from partitioner.terminal.flag_names import with_flags
from protos.errors import FileError, UsageError
from protos.telemetry import DIGEST_SHOWN


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

    @property
    def is_read(self) -> bool:
        """True where records go anywhere, or `write` has an error to raise."""
        return self._to_stdout or self._file is not None or self._error is not None

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


def record_of(
    result: Result, source: str, came_at_s: float, meaning: Interpretation
) -> dict[str, Any]:
    """Return one frame as plain data: seconds and bytes; `came_at_s`: Unix time at which it came."""
    timings = result.timings
    came_at = datetime.fromtimestamp(came_at_s).astimezone()
    return {
        "frame": result.frame,
        "time": came_at.isoformat(timespec="milliseconds"),
        "source": source,
        "served_by": str(result.served_by),
        "reason": with_flags(result.reason),
        **({"server": result.server} if result.server else {}),
        "cut": result.cut,
        "codec": result.codec,
        "version_digest": result.version_digest[:DIGEST_SHOWN],
        "latency_s": round(timings.latency_s, 6),
        "edge_s": round(timings.edge_s, 6),
        "upload_bytes": result.upload_bytes,
        "download_bytes": result.download_bytes,
        "network_s": round(timings.network_s, 6),
        "queue_s": round(timings.queue_s, 6),
        "cloud_s": round(timings.cloud_s, 6),
        "wait_s": round(timings.wait_s, 6),
        "hedged": _hedge_of(result),
        "top1": meaning.top1(result.outputs),
        "detections": meaning.detections(result.outputs),
        "outputs": plain_outputs(result.outputs),
    }


def _hedge_of(result: Result) -> dict[str, Any] | None:
    """Return the hedge of a frame as plain data; None where it was not hedged."""
    hedged = result.hedged
    if hedged is None:
        return None
    return {
        "after_s": round(hedged.after_s, 6),
        "expected_s": None if hedged.expected_s is None else round(hedged.expected_s, 6),
        "first": "device" if hedged.device_first else "cloud",
        "dropped_s": round(hedged.dropped_s, 6),
    }
