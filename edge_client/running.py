"""The command `splitpoint-edge run`: frames from a source through the client to whoever reads."""

import json
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic
from typing import Any, TextIO

from edge_client.advising import advise
from edge_client.frames import Choice
from edge_client.live_view import LiveView, print_summary
from edge_client.settings import RunSettings, parse_link
from edge_client.sources import Frame, Source, open_source, play
from edge_client.sync import EdgeClient
from edge_client.tally import Tally
from partitioner import console
from partitioner.bundle import Bundle
from partitioner.classes import read_labels
from protos.errors import FileError, SourceError, UsageError
from protos.tensors import Array

SOME_FAILED = 7
"""The exit status of a run in which some frames, but not all, were served by nobody."""


def run_source(settings: RunSettings, *, as_json: bool) -> int:
    """Stream the source through the client, report, and return the exit status.

    0: every frame was served, by whom ever; 7: some were not, such as those that missed their deadline;
    1: none was; 130: interrupted. The summary of what was done comes last, whatever ended the frames;
    their error is raised after it.
    """
    bundle = Bundle.load(settings.bundle)
    source = open_source(settings.source, bundle.inputs, console.remark)
    labels = read_labels(settings.labels, bundle.manifest.labels) if settings.labels else {}
    with ExitStack() as stack:
        client = stack.enter_context(_connected(settings, bundle))
        if settings.heartbeat:
            beat(settings.heartbeat)
        # Only now: a server that is away must not cost the records of the last run.
        writer = stack.enter_context(RecordWriter(settings.output, as_json))
        console.remark(f"cut {client.choice.label}, {client.choice.reason}")
        if client.trouble is not None:
            console.remark(f"{client.trouble} Until it comes, frames are finished on this device.")
        tally = Tally(bundle, labels, monotonic, settings.deadline_s)
        try:
            interrupted = _stream(client, source, settings, tally, writer)
        finally:
            _sum_up(tally, source, client, writer, as_json=as_json)
    return _exit_status(tally, source, interrupted)


def beat(path: Path) -> None:
    """Touch the file that a health check looks at; UsageError when that is not possible."""
    try:
        path.touch()
    except OSError as error:
        raise UsageError(
            f"--heartbeat {path} cannot be touched: {error.strerror}. Give a file in a folder that "
            "exists and may be written to."
        ) from error


class RecordWriter:
    """Writes records as JSON lines, at once, to stdout and to a file, where they are wanted."""

    def __init__(self, path: Path | None, to_stdout: bool) -> None:
        self._path = path
        self._file: TextIO | None = None
        self._to_stdout = to_stdout

    def write(self, record: dict[str, Any]) -> None:
        """Write one record as a line; FileError when the file takes no more, once."""
        if self._to_stdout:
            console.print_json(record, indent=None)
        if self._file is not None:
            try:
                self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
                self._file.flush()
            except OSError as error:
                self._close()
                raise FileError(
                    f"--output {self._path} takes no more: {error.strerror}. It holds what came before. "
                    "Make room, or give another file."
                ) from error

    def __enter__(self) -> "RecordWriter":
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


def _connected(settings: RunSettings, bundle: Bundle) -> EdgeClient:
    with console.progress() as progress:
        task = progress.add_task("connecting", total=None)

        def show(step: str, done: int, total: int) -> None:
            progress.update(task, description=f"measuring {step}", completed=done, total=total)
            if progress.disable and done == 0:  # nobody watches a bar, but a log wants to know
                steps = f" (1 of {total})" if total else ""
                console.remark(f"measuring {step.rstrip(', ')}{steps}")

        return EdgeClient(
            settings.cloud,
            bundle,
            settings.cut,
            codec=settings.codec,
            accuracy_drop=settings.accuracy_drop,
            link=parse_link(settings.link),
            window=settings.window,
            timeout_s=settings.timeout_s,
            deadline_s=settings.deadline_s,
            adapt=settings.adapt,
            memory_bytes=settings.memory_bytes,
            exit_threshold=settings.exit_confidence,
            threads=settings.threads,
            on_failure=settings.on_failure,
            on_progress=show,
        )


def _stream(
    client: EdgeClient, source: Source, settings: RunSettings, tally: Tally, writer: RecordWriter
) -> bool:
    """Stream everything; return True if it was interrupted."""
    names: deque[str] = deque()
    total = settings.max_frames if settings.loop else source.total
    frames = _noting(play(source, settings.pace), names)
    with LiveView(total) as view:
        try:
            before = client.choice
            for result in client.stream(frames, on_error="result"):
                before = _tell_of_move(before, client.choice)
                writer.write(tally.add(result, names.popleft()))
                if settings.heartbeat:
                    beat(settings.heartbeat)
                view.show(result, tally)
        except KeyboardInterrupt:
            return True
    return False


def _tell_of_move(before: Choice, now: Choice) -> Choice:
    if now.label != before.label:
        console.remark(f"cut {now.label}: {now.reason}")
    return now


def _sum_up(
    tally: Tally, source: Source, client: EdgeClient, writer: RecordWriter, *, as_json: bool
) -> None:
    summary = tally.summary(dropped=source.dropped, unreadable=source.unreadable, link=client.link)
    summary |= {"fallbacks": dict(client.fallbacks), "switches": client.switches}
    if not as_json:
        print_summary(summary, client.bundle)
    writer.write({"summary": summary})
    bundle = client.bundle
    if advice := advise(summary, has_exits=bundle.exits is not None, name=str(bundle.path)):
        console.complain(advice)


def _noting(frames: Iterator[Frame], names: deque[str]) -> Iterator[dict[str, Array]]:
    """Yield the frames' inputs; the results come in the same order, so their names wait in `names`."""
    for frame in frames:
        names.append(frame.source)
        yield frame.inputs


def _exit_status(tally: Tally, source: Source, interrupted: bool) -> int:
    if interrupted:
        console.remark("interrupted")
        return console.INTERRUPTED
    if tally.frames == 0:
        raise SourceError(
            f"no frame came out of the source ({source.unreadable} could not be read). Check it."
        )
    if tally.failed:
        return 1 if tally.failed == tally.frames else SOME_FAILED
    return 0
