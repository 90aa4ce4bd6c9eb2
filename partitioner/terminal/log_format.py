"""Log records as a server writes them: what came over the network stays within its own line."""

import logging
from typing import Any

from protos.rpc.printable import printable

_TRACEBACK_MOST = 20_000
_MARGIN = "  | "


class PlainFormatter(logging.Formatter):
    """Escapes control characters and bounds the length; a traceback's lines get a margin of their own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - as logging has it
        """Return the record's sentence on one line."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """Return the traceback, every line behind a margin, so that none passes for a record."""
        lines = super().formatException(ei)[:_TRACEBACK_MOST].splitlines()
        return "\n".join(_MARGIN + printable(line) for line in lines)
