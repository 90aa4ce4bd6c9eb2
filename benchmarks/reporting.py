"""What all benchmarks share: the machine, the versions, medians, and the JSON that they print."""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from partitioner.profiles.machine import machine_of
from partitioner.runtime.sessions import RuntimeOptions

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("splitpoint", "grpcio", "protobuf", "numpy")


def describe_machine() -> dict[str, Any]:
    """Return where and with what a figure was measured."""
    machine = machine_of(RuntimeOptions()).model_dump()
    del machine["hostname"]
    congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control")
    machine["tcp_congestion_control"] = (
        congestion.read_text().strip() if congestion.exists() else "?"
    )
    versions = {name: version(name) for name in LIBRARIES}
    # Its distribution has one of several names.
    machine["versions"] = versions | {"onnxruntime": onnxruntime.__version__}
    return machine


def spread(seconds: list[float]) -> dict[str, float]:
    """Return median and 10th and 90th percentile, and the number of samples."""
    p10, p50, p90, p99 = np.percentile(seconds, (10, 50, 90, 99)).tolist()
    return {"p50": p50, "p10": p10, "p90": p90, "p99": p99, "samples": len(seconds)}


def main(
    question: str, measure: Callable[[argparse.Namespace], dict[str, Any]], **flags: Any
) -> None:
    """Run one benchmark from the command line: print its JSON and keep it in benchmarks/results."""
    name = Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(description=question)
    for flag, default in flags.items():
        parser.add_argument(f"--{flag.replace('_', '-')}", type=type(default), default=default)
    arguments = parser.parse_args()
    document = {
        "question": question,
        "command": f"python -m benchmarks.{name}",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": describe_machine(),
        "arguments": vars(arguments),
        "results": measure(arguments),
    }
    text = json.dumps(document, indent=1)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
