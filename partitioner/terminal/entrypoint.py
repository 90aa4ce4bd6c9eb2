"""Where `splitpoint` starts: light, so that Ctrl-C is heard while the rest is being loaded."""

import os
import signal
from importlib import import_module

INTERRUPTED = 130


def main() -> None:
    """Run the command `splitpoint` and exit."""
    start("partitioner.cli.main")


def start(module: str) -> None:
    """Load the `main` of a module that takes long to load, and run it.

    Ctrl-C or SIGTERM while it loads ends the process at once, as nothing has been begun. gRPC's core, which
    is loaded with it, says nothing on stderr, unless GRPC_VERBOSITY says otherwise: what it calls an error
    may be what any stranger does, a line for each connection.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    import_module(module).main()


def _leave(_number: int, _frame: object) -> None:
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)
