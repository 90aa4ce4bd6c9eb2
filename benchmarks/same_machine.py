"""Does the cut stay where it is best when the server has the same cores, and frames come as fast as they go?

The command `splitpoint-edge run` over one server on this machine, unpaced: at some fixed options, and where
the policy moves the cut, from a measured link and from a first guess that is far off; in turns. Every way
is started anew each time, so that the policy has nothing to begin with but its profiles.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import reporting
from benchmarks.serving import copied, served
from partitioner.profiles.profiler import measure_profile
from partitioner.profiles.store import EDGE_PROFILE, keep_profile
from partitioner.runtime.sessions import RuntimeOptions

DIGITS = Path(__file__).parent.parent / "examples" / "digits"
FIXED = ("edge", "cloud/raw", "cloud/jpeg", "cut-02/q2", "cut-04/raw")
WAYS = {
    **{
        name: ["--cut", cut, *(["--codec", codec] if codec else [])]
        for name in FIXED
        for cut, _, codec in [name.partition("/")]
    },
    "adaptive": ["--link", "measure"],
    "adaptive, from a guess": ["--link", "10mbit,20ms"],
}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Stream at every fixed option and with moves, in turns."""
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as name, served(DIGITS / "bundle") as address:
        bundle = copied(DIGITS / "bundle", Path(name))
        keep_profile(
            bundle,
            EDGE_PROFILE,
            measure_profile(bundle, RuntimeOptions(), budget_s=arguments.budget),
        )
        words = ["--cloud", address, "--bundle", str(bundle.path), "--slow", str(arguments.slow)]
        _run([*words, *WAYS["adaptive"]], 1)  # profiles the cloud, once for all
        for _ in range(arguments.rounds):
            for way, more in WAYS.items():
                figures[way].append(_run([*words, *more], arguments.frames))
    found: dict[str, Any] = {name: _sum_up(rounds) for name, rounds in figures.items()}
    best = min(FIXED, key=lambda name: found[name]["mean_s"])
    adaptive = (name for name in WAYS if name not in FIXED)
    ratios = {name: found[name]["mean_s"] / found[best]["mean_s"] for name in adaptive}
    return found | {"best_fixed": best, "to_best_fixed": ratios}


def _run(words: list[str], frames: int) -> dict[str, float]:
    """Return what the summary of one run says, and the lines on stderr."""
    code = "from edge_client.cli.entrypoint import main; main()"
    source = ["--source", str(DIGITS / "frames"), "--loop", "--max-frames", str(frames), "--json"]
    done = subprocess.run(
        [sys.executable, "-c", code, "run", *words, *source],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    summary = json.loads(done.stdout.splitlines()[-1])["summary"]
    return {
        "mean_s": summary["latency_s"]["mean"],
        "fps": summary["fps"],
        "moves": 100 * summary["switches"] / frames,
        "lines": sum(line.startswith("cut ") for line in done.stderr.splitlines()),
    }


def _sum_up(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Return medians over the rounds, and the least and most of the mean latency."""
    middle = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    means = [each["mean_s"] for each in rounds]
    return {
        "mean_s": middle["mean_s"],
        "mean_range_s": [min(means), max(means)],
        "fps": middle["fps"],
        "moves_per_100": middle["moves"],
        "most_moves_per_100": max(each["moves"] for each in rounds),
        "lines": middle["lines"],
    }


if __name__ == "__main__":
    reporting.main(__doc__, measure, rounds=3, frames=400, slow=1.0, budget=5.0)
