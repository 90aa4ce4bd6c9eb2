"""The defaults of the server, stated once; light, so that `--help` can show them."""

from typing import Literal

LISTEN = "127.0.0.1:50051"
THREADS = 1
PROVIDER = "CPUExecutionProvider"
MAX_MESSAGE = "64MiB"
MAX_SESSIONS = 32
STREAM_WINDOW = 32
DRAIN = "10s"
LOG_LEVEL: Literal["info"] = "info"
