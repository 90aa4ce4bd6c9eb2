"""How long do import and profile take for a 25 M-parameter model?"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import reporting
from benchmarks.architectures import resnet50
from tests.kit.models import save


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Import ResNet-50, verify and profile all its cuts, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = save(resnet50(), Path(folder) / "resnet50.onnx")
        bundle = Path(folder) / "resnet50"
        seconds, made = {}, {}
        for name, words in (
            ("import", ["import", path, "--out", bundle]),
            ("verify", ["verify", bundle]),
            ("profile", ["profile", bundle, "--budget", arguments.budget]),
        ):
            start = time.perf_counter()
            done = _splitpoint(*words)
            seconds[name] = time.perf_counter() - start
            made[name] = json.loads(done)
    return {
        "parameters": made["import"]["parameters"],
        "cuts": len(made["import"]["cuts"]),
        "bundle_bytes": made["import"]["size_bytes"],
        "verify_ok": made["verify"]["ok"],
        "worst_difference": max(cut["max_abs_diff"] for cut in made["verify"]["cuts"]),
        "seconds": seconds,
        "bounds_s": {"import": 60, "profile": 60},
    }


def _splitpoint(*words: object) -> str:
    command = [
        sys.executable,
        "-c",
        "from partitioner.cli.main import main; main()",
        *map(str, words),
        "--json",
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    reporting.main(__doc__, measure, budget="30s")
