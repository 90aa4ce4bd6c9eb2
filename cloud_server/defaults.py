"""The defaults of the server, stated once; light, so that `--help` can show them."""

from typing import Literal

from partitioner.defaults import DEFAULT_PROVIDER, DEFAULT_THREADS

LISTEN = "127.0.0.1:50051"
THREADS = DEFAULT_THREADS
PROVIDER = DEFAULT_PROVIDER
MAX_MESSAGE = "64MiB"
MAX_SESSIONS = 32
STREAM_WINDOW = 32
MAX_QUEUE = 256
DRAIN = "10s"
LOG_LEVEL: Literal["info"] = "info"
