"""A bundle that is imported over while programs run: each goes on with the version that it began with."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_client.client.sync_client import EdgeClient
from edge_client.frames.result import ServedBy
from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import random_feeds
from protos.names import EDGE
from tests.kit.versions import SHIFT, two_versions
from tests.kit.waiting import PATIENCE_S

CLOUD = "from cloud_server.cli.main import main; main()"
PLANNER = "from partitioner.cli.main import main; main()"
HELD = """
import sys
import numpy as np
from edge_client.client.sync_client import EdgeClient
from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import random_feeds
bundle = Bundle.load(sys.argv[1])
feeds = random_feeds(bundle.inputs, np.random.default_rng(0))
print("loaded", flush=True)
sys.stdin.readline()
with EdgeClient(None, bundle, "edge") as client:
    print(float(client.infer(feeds).outputs[bundle.outputs[0].name].max()))
"""


def import_over(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PLANNER, "import", folder / "new.onnx", "--out", folder / "old",
         "--name", "old", "--force"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    two_versions(tmp_path)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    """The address of a server process with version 1, which goes on with what it loaded."""
    command = [sys.executable, "-c", CLOUD, "serve", "--bundles", folder / "old", "--json"]
    process = subprocess.Popen(
        [*command, "--no-watch", "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    found = re.search(r'"address": "([^"]+)"', process.stdout.readline())
    assert found, process.stderr and process.stderr.read()
    yield found[1]
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=PATIENCE_S)


def test_edge_of_version_1_gets_version_1_from_a_server_whose_folder_holds_version_2(
    folder: Path, server: str
) -> None:
    held = Bundle.load(shutil.copytree(folder / "old", folder / "held"))
    feeds = random_feeds(held.inputs, np.random.default_rng(0))
    name = held.outputs[0].name
    wanted = held.open_head(EDGE).run(feeds)[name]
    import_over(folder)
    replaced = Bundle.load(folder / "old")
    np.testing.assert_allclose(replaced.open_head(EDGE).run(feeds)[name], wanted + SHIFT, rtol=1e-4)
    assert replaced.digest != held.digest
    with EdgeClient(server, held, "cloud") as client:
        for cut in (cut for cut in held.cuts if cut != EDGE):
            client.set_option(cut)
            result = client.infer(feeds)
            assert result.served_by is ServedBy.CLOUD, result.reason
            np.testing.assert_allclose(result.outputs[name], wanted, rtol=1e-4, atol=1e-4)


def test_edge_whose_folder_is_imported_over_goes_on_with_what_it_loaded(folder: Path) -> None:
    old = Bundle.load(folder / "old")
    feeds = random_feeds(old.inputs, np.random.default_rng(0))
    wanted = float(old.open_head(EDGE).run(feeds)[old.outputs[0].name].max())
    process = subprocess.Popen(
        [sys.executable, "-c", HELD, folder / "old"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "loaded\n"
    import_over(folder)
    printed, errors = process.communicate("\n", timeout=60)
    assert process.returncode == 0, errors
    assert [float(line) for line in printed.split()] == pytest.approx([wanted], rel=1e-5)
