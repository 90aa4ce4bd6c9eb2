"""Where commands start: Ctrl-C and SIGTERM end them quietly, and gRPC's core logs nothing beside them."""

import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from tests.kit.http2 import close_all

# The signal comes while `module` is being loaded, as it would from a keyboard just then.
INTERRUPTED_AT = """
import os, sys
class Finder:
    def find_spec(self, name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Finder())
from {package} import main
main()
"""

STARTS = (
    "partitioner.terminal.entrypoint",
    "edge_client.cli.entrypoint",
    "cloud_server.cli.entrypoint",
)


def interrupted(package: str, module: str, number: int, *words: str) -> tuple[int, str, str]:
    code = INTERRUPTED_AT.format(package=package, module=module, number=number)
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "package",
    STARTS,
)
@pytest.mark.parametrize("number", [int(signal.SIGINT), int(signal.SIGTERM)])
def test_signal_while_a_command_is_loaded_ends_it_quietly(package: str, number: int) -> None:
    assert interrupted(package, "typer", number, "--help") == (130, "", "interrupted\n")


@pytest.mark.parametrize("module", ["numpy", "numpy.linalg", "onnxruntime"])
def test_signal_while_a_command_loads_its_libraries_ends_it_quietly(module: str) -> None:
    words = ("verify", "nowhere", "--json")
    assert interrupted(STARTS[0], module, signal.SIGINT, *words) == (
        130,
        "",
        "interrupted\n",
    )


INTERNAL_ERROR = 2
"""Of HTTP/2: a connection that is closed with it makes gRPC's core log a line."""


def told_of_a_closed_connection(**environment: str) -> str:
    """Return what a command says on stderr whose connections are all closed with INTERNAL_ERROR."""
    start = f"from {STARTS[1]} import main; main()"
    clean = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closing = threading.Thread(target=close_all, args=(listener, INTERNAL_ERROR), daemon=True)
        closing.start()
        words = "probe", "--cloud", f"127.0.0.1:{listener.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-c", start, *words], env={**clean, **environment},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 4, done.stderr
    return done.stderr


def test_log_lines_of_the_grpc_core_do_not_reach_the_terminal() -> None:
    assert told_of_a_closed_connection().startswith("error: no cloud server answers")


def test_log_lines_of_the_grpc_core_are_shown_to_who_asks_for_them() -> None:
    assert "chttp2_transport.cc" in told_of_a_closed_connection(GRPC_VERBOSITY="INFO")


def test_log_lines_of_the_grpc_core_do_not_reach_the_test_run() -> None:
    assert "GRPC_VERBOSITY" in os.environ  # which may be the reader's own
