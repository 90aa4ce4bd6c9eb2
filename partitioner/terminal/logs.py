"""Logs of all our commands: one event a line, as text or JSON, each with its time and zone."""

import json
import logging
from collections.abc import Callable
from datetime import datetime

from partitioner.settings.log_options import LogOptions
from partitioner.terminal.log_format import PlainFormatter

_GRPC = "grpc._cython.cygrpc"
_OURS = ("protos", "partitioner", "edge_client", "cloud_server", "splitpoint")
_set_up: list[LogOptions] = []


class TextFormatter(PlainFormatter):
    """`2026-01-31T12:00:00.000+01:00 INFO cloud_server.models.model_store: loaded m.c3`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        """Return the record's time with its zone."""
        return _time(record)


class JsonFormatter(logging.Formatter):
    """One object a record: time, level, logger, message, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object on one line."""
        event = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event, ensure_ascii=True)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")


class Lines(logging.Handler):
    """Hands every record as a line to `write`."""

    def __init__(self, write: Callable[[str], None], formatter: logging.Formatter) -> None:
        super().__init__()
        self._write = write
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; what fails is said as `logging` says it."""
        try:
            self._write(self.format(record))
        except Exception:  # noqa: BLE001 - as every handler of the standard library does
            self.handleError(record)


def _is_of_us(record: logging.LogRecord) -> bool:
    """Tell a record from gRPC's remark, with a traceback, that a client went away before its answer came."""
    return "ExecuteBatchError" not in record.getMessage()


def logs_as_set_up() -> LogOptions:
    """Return how logs are written now, for processes that are to write theirs beside them."""
    return _set_up[-1] if _set_up else LogOptions()


def set_up_logs(options: LogOptions, write: Callable[[str], None]) -> None:
    """Hand log records to `write`, in place of what was set up before."""
    _set_up[:] = [options]
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler, Lines)]:
        root.removeHandler(old)
    formatter = JsonFormatter() if options.log_format == "json" else TextFormatter()
    root.addHandler(Lines(write, formatter))
    level = options.log_level.upper()
    root.setLevel(max(logging.WARNING, logging.getLevelName(level)))
    logging.getLogger(_GRPC).addFilter(_is_of_us)  # adding it twice does nothing
    for name in _OURS:
        logging.getLogger(name).setLevel(level)


def event_line(level: int, text: str) -> str:
    """Return what a command says beside its logs as a JSON event."""
    record = logging.LogRecord("splitpoint", level, "", 0, text, None, None)
    return JsonFormatter().format(record)
