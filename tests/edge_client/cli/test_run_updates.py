"""`splitpoint-edge run --updates auto`: records name the version, remarks say what becomes of it."""

import io
import json
import shutil
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from tests.kit.edge_commands import running
from tests.kit.frames import frames
from tests.kit.versions import make_version
from tests.kit.waiting import PATIENCE_S


def test_run_goes_to_the_version_that_is_rolled_out_and_says_so(tmp_path: Path) -> None:
    one, two = (make_version(tmp_path / "bundles" / str(number), number) for number in (1, 2))
    here = shutil.copytree(one.path, tmp_path / "net")
    (frame,) = frames(one, 1)[0].values()
    np.save(data := io.BytesIO(), frame)
    with CloudServer(tmp_path / "bundles") as server:
        words = (
            "run",
            "--cloud",
            server.address,
            "--bundle",
            here,
            "--cut",
            "cut-02",
            "--source",
            "-",
        )
        flags = (
            "--updates",
            "auto",
            "--update-trial",
            "3",
            "--update-rate",
            "80mbit",
            "--name",
            "cam",
        )
        with running(*words, *flags, "--json") as run:
            assert ask(run, data.getvalue())["version_digest"] == one.version_digest[:12]
            assert server._thread is not None
            server._thread.loop.call_soon_threadsafe(
                server.rollouts.start, "net", two.version_digest, 1.0
            )
            end, numbers = monotonic() + PATIENCE_S, [0]
            while Bundle.load(here).version_digest != two.version_digest:
                assert monotonic() < end
                numbers.append(ask(run, data.getvalue())["frame"])
            run.stdin.close()
            *_, last = run.stdout.read().splitlines()
            notes = " ".join(run.stderr.read().split())
            assert run.wait() == 0
    assert numbers == list(range(len(numbers)))
    assert json.loads(last)["summary"]["frames"] == len(numbers)
    digest = two.version_digest[:12]
    assert f"fetching version {digest} beside the frames: it is rolled out to 100%" in notes
    assert (
        f"serving by version {digest} from this frame on, on trial: it has to serve 3 frames"
        in notes
    )
    assert "Traceback" not in notes


def ask(run: Any, frame: bytes) -> dict[str, Any]:
    run.stdin.buffer.write(frame)
    run.stdin.buffer.flush()
    record: dict[str, Any] = json.loads(run.stdout.readline())
    return record
