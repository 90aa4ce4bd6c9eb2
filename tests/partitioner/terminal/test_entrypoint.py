"""Ctrl-C and SIGTERM end a command quietly from its first moment on."""

import signal
import subprocess
import sys

import pytest

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
