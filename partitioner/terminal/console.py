"""What all commands share: JSON or tables on stdout, progress and logs on stderr, errors as sentences."""

import errno
import json
import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.segment import Segment
from rich.text import Text

from partitioner.settings.log_options import LogOptions
from partitioner.settings.panels import OUTPUT
from partitioner.terminal import logs
from partitioner.terminal.entrypoint import INTERRUPTED
from partitioner.terminal.flag_names import with_flags
from protos.errors import FileError, SplitpointError

_REMEDIES = {
    errno.ENOSPC: " Make room, and try again.",
    errno.EDQUOT: " Make room, and try again.",
    errno.EACCES: " Give another place, or the right to use this one.",
    errno.EROFS: " Give another place.",
    errno.EMFILE: " Allow more open files (ulimit -n).",
}
"""What to do about errors of the system that no seam has translated."""
_LINE_EVERY_S = 5.0
_COMMANDS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
"""Characters that no text shows, and that a terminal obeys: C0, C1, and those that turn its direction."""


def _harmless(text: str) -> str:
    """Return `text` with what commands a terminal escaped: names come from files and over the network."""
    return _COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class _Console(Console):
    """Shows no control characters, and ends the command when its reader is gone: in the main thread at once,
    elsewhere by an error.

    rich raises SystemExit in any thread; in an event loop's it would stop the loop, and whoever waits for the
    loop would wait for ever.
    """

    is_deserted = False

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Yield what is shown; only rich itself moves the cursor."""
        for segment in super().render(renderable, options):
            harmless = segment.control or not _COMMANDS.search(segment.text)
            yield segment if harmless else Segment(_harmless(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """Called while the BrokenPipeError is being handled."""
        self.is_deserted = True
        if threading.current_thread() is threading.main_thread():
            super().on_broken_pipe()
        raise  # noqa: PLE0704


screen = _Console(highlight=False, emoji=False)
"""Results for people."""

notes = _Console(stderr=True, highlight=False, emoji=False)
"""Progress and remarks; never anything that a program would read."""


class _Speech:
    """How remarks are written: for people, or as events like those of the logs."""

    as_json = False
    least = logging.INFO
    """The level below which nothing is said, as of the logs."""


_speech = _Speech()

JsonFlag = Annotated[
    bool,
    typer.Option(
        "--json", help="Print JSON on stdout and nothing else there.", rich_help_panel=OUTPUT
    ),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import (
            version,
        )  # loads archives and mail, of which no other command knows

        sys.stdout.write(f"splitpoint {version('splitpoint')}\n")
        raise typer.Exit


VersionFlag = Annotated[
    bool,
    typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True),
]


def print_json(document: Any, *, indent: int | None = 1) -> None:
    """Write one JSON document to stdout; with indent None, on one line, at once."""
    text = json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=False)
    # JSON escapes what is below 0x20.
    sys.stdout.write(re.sub("[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")
    sys.stdout.flush()


def is_watched() -> bool:
    """Tell whether somebody sees what moves on stderr."""
    return notes.is_terminal and not _speech.as_json


def progress() -> Progress:
    """Return a progress bar on stderr; where stderr is no terminal, a line every few seconds instead."""
    return _progress(BarColumn(bar_width=28), MofNCompleteColumn())


@contextmanager
def working(text: str) -> Iterator[Callable[[str], None]]:
    """Show that something without a known end goes on; yield what changes the text."""
    with _progress() as bar:
        task = bar.add_task(text, total=None)
        yield lambda now: bar.update(task, description=now)


def _progress(*columns: ProgressColumn) -> Progress:
    ends = (SpinnerColumn(), TextColumn("{task.description}")), (TimeElapsedColumn(),)
    kind = Progress if is_watched() else LoggedProgress
    return kind(*ends[0], *columns, *ends[1], console=notes, transient=True)


class LoggedProgress(Progress):
    """For logs: no bar, but every five seconds a line that says how far each task is.

    `wait` sleeps as long as it is told, and returns True when the work has ended meanwhile.
    """

    def __init__(
        self,
        *columns: ProgressColumn,
        wait: Callable[[float], bool] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(*columns, disable=True, **settings)
        self._ended = threading.Event()
        self._wait = wait or self._ended.wait
        self._teller = threading.Thread(target=self._tell, daemon=True)

    def start(self) -> None:
        """Begin to write lines."""
        self._teller.start()

    def stop(self) -> None:
        """Write no more."""
        self._ended.set()
        self._teller.join()

    def _tell(self) -> None:
        while not self._wait(_LINE_EVERY_S):
            for task in self.tasks:
                far = "" if not task.total else f": {task.completed:g} of {task.total:g}"
                remark(f"{task.description}{far}, after {task.elapsed or 0.0:.0f} s")


def remark(text: str) -> None:
    """Say something to the person at the screen, on stderr, as of level info."""
    named = with_flags(text)
    _say(logging.INFO, named, escape(named))


def warn(text: str) -> None:
    """Say on stderr what is wrong, and does not end the command."""
    named = with_flags(text)
    _say(logging.WARNING, named, escape(named))


def check_readers() -> None:
    """Raise BrokenPipeError if a thread has found that the reader of our output is gone."""
    if screen.is_deserted or notes.is_deserted:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def complain(text: str) -> None:
    """Say on stderr what went wrong."""
    _say(logging.ERROR, text, f"[bold red]error:[/] {escape(text)}")


def set_up_logs(options: LogOptions) -> None:
    """Write logs to stderr as they are asked for; remarks keep to the same level and format."""
    _speech.as_json = options.log_format == "json"
    _speech.least = logging.getLevelNamesMapping()[options.log_level.upper()]
    logs.set_up_logs(options, _write_line)


def _write_line(line: str) -> None:
    notes.print(Text(with_flags(line)), soft_wrap=True)


def _say(level: int, text: str, markup: str) -> None:
    if level < _speech.least:
        return
    if _speech.as_json:
        _write_line(logs.event_line(level, text))
    else:
        notes.print(markup, soft_wrap=True)


class _Interrupt:
    """Ends a command on SIGTERM as on Ctrl-C, so that both clean up; servers install their own."""

    def __init__(self) -> None:
        self.came = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._raise)

    def _raise(self, _number: int, _frame: object) -> None:
        self.came = True
        raise KeyboardInterrupt


def run(app: Callable[[], Any]) -> None:
    """Run a command to its exit: an error becomes its public sentence and its exit status."""
    interrupt = _Interrupt()
    # What pillow thinks of a damaged image it may say by an exception, which becomes a sentence.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    try:
        app()
    except KeyboardInterrupt:
        _end_interrupted()
    except SystemExit as ending:
        if ending.code == INTERRUPTED:  # typer has caught the interrupt, and says nothing
            _end_interrupted()
        raise
    except Exception as error:
        if interrupt.came:  # and a library made another error of it
            _end_interrupted()
        status = _tell(error)
        if status is None:
            raise
        sys.exit(status)


def _end_interrupted() -> NoReturn:
    _say(logging.WARNING, "interrupted", "interrupted")
    sys.exit(INTERRUPTED)


def _tell(error: Exception) -> int | None:
    """Say what went wrong, and return the exit status; None for an unforeseen error."""
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has gone; leave quietly, and keep Python from flushing into the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SplitpointError.exit_status
    if isinstance(error, SplitpointError):
        complain(str(error))
        logging.getLogger(__name__).debug("cause", exc_info=error)
        return error.exit_status
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        complain(f"{error.strerror or error}{where}.{_REMEDIES.get(error.errno or 0, '')}")
        return FileError.exit_status
    if isinstance(error, MemoryError):
        complain(
            f"this machine has too little memory: {error or 'no more can be had'}. Give smaller or fewer "
            "inputs, or end other programs."
        )
        return SplitpointError.exit_status
    return None
