"""Does an input that reaches code that no other has reached get an unclear error from a reader?

atheris changes inputs so that they reach more of our code, one reader a process; see benchmarks/fuzz.py for
what is only damaged. Needs the extra `fuzz`.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import reporting

_READ = """
import sys
import warnings
import atheris
with atheris.instrument_imports(include=["protos", "partitioner"]):
    from tests.kit.readers import is_refused, readers
from pathlib import Path
warnings.filterwarnings("ignore")
folder, name, *words = sys.argv[1:]
reader = {one.name: one for one in readers(Path(folder))}[name]
corpus = Path(folder) / "corpus"
corpus.mkdir(exist_ok=True)
for number, sample in enumerate(reader.samples.right):
    (corpus / str(number)).write_bytes(sample)
def test_one(data):
    is_refused(reader, bytes(data))
atheris.Setup([sys.argv[0], *words, str(corpus)], test_one)
atheris.Fuzz()
"""


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run every reader, or those whose names hold a word, for so many inputs; collect what was raised."""
    from tests.kit.readers import readers

    with tempfile.TemporaryDirectory() as folder:
        names = [one.name for one in readers(Path(folder)) if arguments.only in one.name]
    return {"readers": [_run(name, arguments) for name in names]}


def _run(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        flags = [
            f"-runs={arguments.runs}", f"-max_total_time={arguments.seconds}", "-timeout=10",
            "-rss_limit_mb=2048", f"-seed={arguments.seed}", f"-artifact_prefix={folder}/",
        ]  # fmt: skip
        command = [sys.executable, "-c", _READ, folder, name, *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = done.stderr.splitlines()
        last = [line for line in lines if "DONE" in line or "cov:" in line][-1:]
        raised = [line for line in lines if "Error" in line or "ERROR" in line][:3]
        return {
            "reader": name,
            "ok": done.returncode == 0,
            "last": last[0][:160] if last else "",
            "raised": [] if done.returncode == 0 else raised or lines[-3:],
        }


if __name__ == "__main__":
    reporting.main(__doc__ or "", measure, runs=20_000, seconds=30, seed=1, only="")
