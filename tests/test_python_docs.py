"""The examples of docs/python.md, run in its order in one process, as a notebook would."""

import os
import re
import shutil
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "python.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
BETWEEN = "=== the next example ==="


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the examples need of a clone, without what was ever measured there."""
    digits = tmp_path / "examples" / "digits"
    ignored = shutil.ignore_patterns("profiles")
    shutil.copytree(ROOT / "examples" / "digits" / "bundle", digits / "bundle", ignore=ignored)
    for name in ("digits/frames", "traces"):
        (tmp_path / "examples" / name).symlink_to(ROOT / "examples" / name)
    return tmp_path


def run(words: list[str], folder: Path) -> str:
    path = os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def shape(output: str) -> list[str]:
    """The output without what another machine measures: numbers, units, options, and how many rows."""
    text = re.sub(r"(cut-\d+|cloud)/[\w-]+|\b(edge|adaptive)\b", "OPTION", output)
    text = re.sub(r"\d[\d.,]*", "0", text)
    text = re.sub(r"\b0 (k?B|[kMG]?bit/s|[mµ]?s)\b", "0 UNIT", text)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    # On a busy machine one option may be the best on every link: then nothing switches.
    return [line for line, _ in groupby(lines) if not line.startswith("above 0 UNIT: OPTION")]


def test_every_example_prints_what_the_page_shows(clone: Path) -> None:
    (command,) = re.findall(r"```console\n\$ splitpoint (.*?)\n```", PAGE)
    run(["-m", "splitpoint", *command.split()], clone)
    code = f"print({BETWEEN!r})\n".join(example for example, _ in EXAMPLES)
    found = run(["-W", "error", "-c", code], clone).split(f"{BETWEEN}\n")
    assert len(found) == len(EXAMPLES) >= 7
    for output, (example, wanted) in zip(found, EXAMPLES, strict=True):
        assert shape(output) == shape(wanted), example


def test_page_has_every_name_of_the_front_door() -> None:
    import splitpoint

    for name in splitpoint.__all__:
        assert f"`{name}`" in PAGE, name
