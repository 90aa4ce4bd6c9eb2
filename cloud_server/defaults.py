"""The defaults of the server, stated once; light, so that `--help` can show them."""

from typing import Literal

from partitioner.common.defaults import (
    DEFAULT_DRAIN,
    DEFAULT_MAX_MESSAGE,
    DEFAULT_PROVIDER,
    DEFAULT_THREADS,
)

LISTEN = "127.0.0.1:50051"
THREADS = DEFAULT_THREADS
PROVIDER = DEFAULT_PROVIDER
MAX_MESSAGE = DEFAULT_MAX_MESSAGE
MAX_SESSIONS = 32
STREAM_WINDOW = 32
MAX_QUEUE = 256
DRAIN = DEFAULT_DRAIN
LOG_LEVEL: Literal["info"] = "info"
