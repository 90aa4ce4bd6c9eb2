"""The defaults of the edge, stated once; light, so that `--help` can show them."""

from typing import Literal

from partitioner.defaults import (
    DEFAULT_DRAIN,
    DEFAULT_MAX_MESSAGE,
    DEFAULT_TIMEOUT_S,
    DEFAULT_WINDOW,
)

OnFailure = Literal["finish", "fail"]

ExitThreshold = float | Literal["auto"] | None
"""Confidence from which an exit answers early: `auto` is each exit's own; None: none does."""

CUT = "auto"
LINK = "measure"
WINDOW = DEFAULT_WINDOW
TIMEOUT_S = DEFAULT_TIMEOUT_S
DEADLINE = "none"
ON_FAILURE: OnFailure = "finish"
EXIT_THRESHOLD = "none"
THREADS = 1

LISTEN = "127.0.0.1:8001"
MAX_QUEUE = 64
STREAM_WINDOW = 32
MAX_MESSAGE = DEFAULT_MAX_MESSAGE
DRAIN = DEFAULT_DRAIN
