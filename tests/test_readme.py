"""The README's commands, run in its order, as a reader would type them."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.kit.sockets import free_port
from tests.kit.waiting import PATIENCE_S

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PORTS = ("50051", "6000")


@pytest.fixture
def folder(tmp_path: Path, onnx_files: Callable[[str], Path]) -> Path:
    """What the reader has: a model and some frames."""
    (tmp_path / "model.onnx").write_bytes(onnx_files("residual").read_bytes())
    frames = tmp_path / "frames"
    frames.mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        pixels = rng.integers(0, 256, (48, 64, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(frames / f"{number:02d}.png")
    return tmp_path


@pytest.fixture
def background() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)


def commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def start(command: str, folder: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    """Start a server, and wait until it says on stderr that it is there."""
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=folder, env=environment, text=True, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "127.0.0.1" in line:
            return process
    raise AssertionError(f"{command} ended with {process.wait()}")


def test_commands_and_snippet_of_the_readme(
    folder: Path, background: list[subprocess.Popen[str]]
) -> None:
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "COLUMNS": "100"}
    ports = {port: str(free_port()) for port in PORTS}

    def moved(text: str) -> str:
        return re.sub("|".join(PORTS), lambda found: ports[found[0]], text)

    found = commands()
    assert {words.split()[0] for words in found} == {
        "splitpoint",
        "splitpoint-edge",
        "splitpoint-cloud",
    }
    for command in found:
        if command.endswith(" &"):
            background.append(start(moved(command[:-2]), folder, environment))
            continue
        done = subprocess.run(
            ["bash", "-c", moved(command)], cwd=folder, env=environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert done.stdout, command
    assert (folder / "plan.png").exists()
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", moved(snippet)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 11


def test_demo_runs_three_ways_on_real_frames(tmp_path: Path) -> None:
    words = ["--max-frames", "8", "--fps", "20", "--budget", "1s", "--link", "20mbit,15ms"]
    words += ["--phase", "0.5", "--slow", "4"]
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "digits" / "demo.py", *words, "--out", str(tmp_path)],
        capture_output=True, text=True, check=False, cwd=ROOT,
        env={**os.environ, "COLUMNS": "300"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for text in ("cloud-only, JPEG", "edge-only", "split cut-", "accuracy", "plan.png"):
        assert text in done.stdout
    assert "4 times as slow" in done.stdout
    assert done.stdout.count(" wins with ") == 2  # on each of the other links one does
    assert (tmp_path / "plan.png").exists()
    runs = {
        run.stem: [json.loads(line) for line in run.read_text().splitlines()]
        for run in tmp_path.glob("*.jsonl")
    }
    *adaptive, summary = runs.pop("adaptive")
    adaptive = [
        record for record in adaptive if "frame" in record
    ]  # between them: health, telemetry
    assert [frame["frame"] for frame in adaptive] == list(range(95))
    assert summary["summary"]["failed"] == summary["summary"]["dropped"] == 0
    assert "95 frames in, 95 results out, in order, none twice; 0 lost" in done.stdout
    assert runs.keys() > {"cloud", "edge"}
    assert sorted(name.split("-")[0] for name in runs if "cut" in name) == ["cut", "far", "fast"]
    for *frames, last in runs.values():
        served = "edge" if frames[0]["cut"] == "edge" else "cloud"
        assert [frame["frame"] for frame in frames] == list(range(8))
        assert {frame["served_by"] for frame in frames} == {served}
        assert last["summary"]["failed"] == 0
        assert last["summary"]["accuracy"] >= 0.75


@pytest.mark.parametrize(
    ("runs", "profiles", "reason"),
    [
        (1.25, 0.5, "Others kept 1.2 of .* cores busy while these frames ran, and 0.5 while"),
        (1.25, None, "Others kept 1.2 of .* cores busy while these frames ran."),
        (0.1, None, "The profiles are of an earlier run"),
        (0.1, 0.1, "Nothing else computed here"),
    ],
)
def test_demo_says_why_plan_and_measurement_are_apart(
    runs: float, profiles: float | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples" / "digits")
    from agreement import Circumstances  # type: ignore[import-not-found]

    assert re.match(reason, Circumstances(runs, profiles).reason)


def test_links_of_the_documents_lead_somewhere() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
