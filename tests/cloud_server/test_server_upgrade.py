"""A server that is replaced by one with version 2 of the bundle, while an edge runs version 1."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import random_feeds
from tests.kit.edge_commands import command, running
from tests.kit.sockets import free_port
from tests.kit.versions import two_versions
from tests.kit.waiting import PATIENCE_S

CLOUD = "from cloud_server.cli.main import main; main()"
TRUTH = "the cloud has another version of this bundle"


@contextmanager
def serving(folder: Path, port: int) -> Iterator[None]:
    words = [sys.executable, "-c", CLOUD, "serve", "--bundles", folder, "--json"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    server = subprocess.Popen([*words, "--listen", f"127.0.0.1:{port}"], text=True, **streams)  # type: ignore[call-overload]
    try:
        assert server.stdout is not None
        assert re.search(r'"address"', server.stdout.readline())
        yield
    finally:
        os.kill(server.pid, signal.SIGTERM)
        server.communicate(timeout=PATIENCE_S)


@pytest.fixture
def old(tmp_path: Path) -> Bundle:
    return Bundle.load(two_versions(tmp_path)[0])


def frame_of(bundle: Bundle) -> bytes:
    (feed,) = random_feeds(bundle.inputs, np.random.default_rng(0)).values()
    np.save(data := io.BytesIO(), feed)
    return data.getvalue()


def words_of(bundle: Bundle, port: int, *more: str) -> tuple[object, ...]:
    return (
        "run", "--cloud", f"127.0.0.1:{port}", "--bundle", bundle.path, "--cut", "cut-02", "--source", "-",
        "--json", *more,
    )  # fmt: skip


def ask(run: Any, frame: bytes) -> dict[str, Any]:
    run.stdin.buffer.write(frame)
    run.stdin.buffer.flush()
    record: dict[str, Any] = json.loads(run.stdout.readline())
    return record


def until(run: Any, frame: bytes, served_by: str, reason: str = "") -> dict[str, Any]:
    """Send frames until one is served so; the cloud is looked for beside them."""
    end = monotonic() + PATIENCE_S
    while True:
        record = ask(run, frame)
        if record["served_by"] == served_by and reason in record["reason"]:
            return record
        assert monotonic() < end, record


def test_running_edge_says_that_the_server_has_another_version_and_comes_back_with_the_old_one(
    old: Bundle, tmp_path: Path
) -> None:
    port, frame = free_port(), frame_of(old)
    with running(*words_of(old, port)) as run:
        with serving(tmp_path / "old", port):
            until(run, frame, "cloud")
        with serving(tmp_path / "new", port):
            upgraded = until(run, frame, "edge", "has another bundle 'old'")
            assert upgraded["reason"].startswith("cloud has another bundle: the server at")
            assert "splitpoint-edge fetch old" in upgraded["reason"]
        with serving(tmp_path / "old", port):
            until(run, frame, "cloud")
        run.stdin.close()
        *_, last = run.stdout.read().splitlines()
        notes = " ".join(run.stderr.read().split())
    assert json.loads(last)["summary"]["fallbacks"]["cloud has another bundle"] >= 1
    assert "Traceback" not in notes


def test_edge_that_starts_beside_another_version_serves_alone_and_says_why(
    old: Bundle, tmp_path: Path
) -> None:
    port, frame = free_port(), frame_of(old)
    with serving(tmp_path / "new", port), running(*words_of(old, port)) as run:
        assert ask(run, frame)["served_by"] == "edge"
        run.stdin.close()
        *_, last = run.stdout.read().splitlines()
        notes = " ".join(run.stderr.read().split())
        assert run.wait() == 0
    assert json.loads(last)["summary"]["cloud"] == TRUTH
    assert "has another bundle 'old' than this edge" in notes
    assert "frames are finished on this device" in notes
    assert "is away" not in notes


def test_strict_edge_ends_with_the_status_of_a_server_that_refuses(
    old: Bundle, tmp_path: Path
) -> None:
    port = free_port()
    with serving(tmp_path / "new", port):
        words = command(*words_of(old, port, "--strict"))
        done = subprocess.run(words, capture_output=True, text=True, check=False, input="")
    assert done.returncode == 5
    assert "has another bundle 'old' than this edge" in " ".join(done.stderr.split())
