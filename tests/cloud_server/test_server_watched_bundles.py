"""A server process and its folder, while edges run: versions come and go, and memory with them."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from edge_client.client.sync_client import EdgeClient
from edge_client.frames.result import ServedBy
from partitioner.bundle.bundle import Bundle
from partitioner.importer.importer import ImportOptions, import_model
from partitioner.runtime.sessions import random_feeds
from protos import splitpoint_pb2 as sp
from protos.names import EDGE
from tests.kit import models
from tests.kit.cloud_calls import TIMEOUT_S, connected, oip_stub, request_for, splitpoint_stub
from tests.kit.waiting import PATIENCE_S, until

CLOUD = "from cloud_server.cli.main import main; main()"


@contextmanager
def serving(root: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server of the folder: the process, and its address."""
    words = [sys.executable, "-c", CLOUD, "serve", "--bundles", str(root), "--json", *more]
    streams: dict[str, Any] = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    server = subprocess.Popen([*words, "--listen", "127.0.0.1:0"], text=True, **streams)
    try:
        assert server.stdout is not None
        yield server, json.loads(server.stdout.readline())["address"]
    finally:
        os.kill(server.pid, signal.SIGTERM)
        server.communicate(timeout=PATIENCE_S)


def digests(address: str) -> set[str]:
    with connected(address) as channel:
        listed = splitpoint_stub(channel).ListBundles(sp.ListBundlesRequest(), timeout=TIMEOUT_S)
    return {entry.digest for entry in listed.bundles}


def test_edge_whose_version_goes_serves_alone_and_comes_back_with_it(
    net_versions: list[Bundle], tmp_path: Path
) -> None:
    old, new = net_versions[:2]
    shutil.copytree(old.path, tmp_path / "old")
    feeds = random_feeds(old.inputs, np.random.default_rng(0))
    name = old.outputs[0].name
    wanted = old.open_head(EDGE).run(feeds)[name]
    with serving(tmp_path) as (_, address), EdgeClient(address, old, "cut-02") as client:

        def served_by(whom: ServedBy) -> bool:
            result = client.infer(feeds)
            np.testing.assert_allclose(result.outputs[name], wanted, rtol=1e-4, atol=1e-4)
            return result.served_by is whom

        assert served_by(ServedBy.CLOUD)
        shutil.copytree(new.path, tmp_path / "new")
        until(lambda: digests(address) == {old.digest, new.digest})
        assert served_by(ServedBy.CLOUD)
        (tmp_path / "old").rename(tmp_path.parent / f"{tmp_path.name}-old")
        until(lambda: digests(address) == {new.digest})
        until(lambda: served_by(ServedBy.EDGE))
        (tmp_path.parent / f"{tmp_path.name}-old").rename(tmp_path / "old")
        until(lambda: served_by(ServedBy.CLOUD))


def test_hangup_looks_at_the_folder_that_is_not_watched(
    net_versions: list[Bundle], tmp_path: Path
) -> None:
    old, new = net_versions[:2]
    shutil.copytree(old.path, tmp_path / "old")
    with serving(tmp_path, "--no-watch") as (server, address):
        shutil.copytree(new.path, tmp_path / "new")
        assert digests(address) == {old.digest}
        server.send_signal(signal.SIGHUP)
        until(lambda: digests(address) == {old.digest, new.digest})


@pytest.fixture
def large(tmp_path: Path) -> Bundle:
    """A bundle with 48 MB of weights that are used at once."""
    builder = models.Builder(3)
    x = builder.input("x", ["n", 2048])
    for _ in range(3):
        x = builder.op("Relu", builder.linear(x, 2048, 2048))
    source = models.save(builder.model(builder.linear(x, 2048, 4)), tmp_path / "large.onnx")
    return import_model(source, tmp_path / "large", ImportOptions(name="large", max_cuts=2))


def test_memory_of_a_removed_version_comes_back(
    large: Bundle, net_versions: list[Bundle], tmp_path: Path
) -> None:
    root = tmp_path / "bundles"
    shutil.copytree(net_versions[0].path, root / "net")
    frame = random_feeds(large.inputs, np.random.default_rng(0))
    request = request_for(large, "cloud", frame)

    def come_and_go(process: psutil.Process, address: str) -> Iterator[int]:
        """Have the large version come and be used, yield what is in memory then, and have it go."""
        shutil.copytree(large.path, root / "large")
        process.send_signal(signal.SIGHUP)
        until(lambda: large.digest in digests(address))
        with connected(address) as channel:
            oip_stub(channel).ModelInfer(request, timeout=TIMEOUT_S)
        files = process.num_fds()
        yield process.memory_info().rss
        shutil.rmtree(root / "large")
        process.send_signal(signal.SIGHUP)
        until(lambda: process.num_fds() < files)

    with serving(root, "--no-watch") as (server, address):
        process = psutil.Process(server.pid)
        # One version takes about 34 MB here: were it kept, the second would be above the first.
        full, *_ = [used for _ in range(3) for used in come_and_go(process, address)]
        until(lambda: process.memory_info().rss < full - large.size_bytes / 4)
