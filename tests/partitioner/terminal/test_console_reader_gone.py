"""A command whose reader goes away, as `| head -1` does, ends, whichever thread finds it."""

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle

PATIENCE_S = 60.0
EDGE = "from edge_client.cli.main import main; main()"
OF_A_LOOP = """
import asyncio
from partitioner.terminal import console
from partitioner.common.event_loop import LoopThread
async def say():
    console.remark("heard by nobody")
async def answer():
    return 7
def work():
    thread = LoopThread("test")
    beside = asyncio.run_coroutine_threadsafe(say(), thread.loop)
    assert isinstance(beside.exception(), BrokenPipeError)
    assert thread.run(answer()) == 7  # what cleans up needs the loop
    try:
        console.check_readers()
    except BrokenPipeError:
        raise SystemExit(5)
console.run(work)
"""


def status_without_reader(code: str, *words: object, after_lines: int = 0) -> int:
    """Return the exit status of a program of whose stdout and stderr nobody reads more lines."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as program:
        assert program.stdout is not None
        for _ in range(after_lines):
            program.stdout.readline()
        program.stdout.close()
        try:
            return program.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            program.kill()
            raise


def test_remark_of_a_loop_that_nobody_reads_leaves_the_loop_alive() -> None:
    assert status_without_reader(OF_A_LOOP) == 5


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    source = tmp_path / "frames.npy"
    np.save(source, np.zeros((2, 3, 32, 32), np.float32))
    return source


@pytest.mark.parametrize("cut", ["auto", "cut-03"])  # auto measures, and says so, in another thread
def test_run_that_nobody_reads_ends(cut: str, residual_bundle: Bundle, frames: Path) -> None:
    with CloudServer(bundles=residual_bundle.path, listen="127.0.0.1:0") as server:
        status = status_without_reader(
            EDGE, "run", "--cloud", server.address, "--bundle", residual_bundle.path,
            "--source", frames, "--cut", cut,
        )  # fmt: skip
    assert status == 1


def test_endless_run_whose_health_nobody_hears_of_ends(
    residual_bundle: Bundle, frames: Path
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        status = status_without_reader(
            EDGE, "run", "--cloud", f"127.0.0.1:{nobody.getsockname()[1]}", "--cut", "cut-03",
            "--bundle", residual_bundle.path, "--source", frames, "--loop", "--fps", 20,
            after_lines=2,
        )  # fmt: skip
    assert status == 1
