"""How many of the demo's frames exit, and what does that cost in accuracy?

On frames that nobody has seen: other writers and other parts of the photographs than those of
training, calibration and thresholds, drawn by another seed than the demo's hundred. Thresholds are
those in the bundle; none is chosen here.
"""

import argparse
from dataclasses import asdict
from typing import Any

from benchmarks import reporting
from benchmarks.codecs import DIGITS, held_out
from partitioner.bundle.accuracy import wilson
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.exit_outcomes import Outcomes
from partitioner.bundle.exits import Exit
from partitioner.exits.trainer import Data, measure_exits

THRESHOLDS = (0.5, 0.8, 0.9, 0.95, 0.99)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Each exit of the bundle at its own threshold and at others, beside the whole model."""
    bundle = Bundle.load(DIGITS / "bundle")
    samples = held_out(bundle, arguments.frames, arguments.seed)
    labels = [sample.label for sample in samples if sample.label is not None]
    frames = Data(lambda: (sample.feeds for sample in samples), labels)
    exits = bundle.known_exits()
    found = measure_exits(bundle, exits, frames)
    return {
        "frames": len(samples),
        "exits": {cut: _row(exits.find(cut), outcomes) for cut, outcomes in found.items()},
    }


def _row(known: Exit, outcomes: Outcomes) -> dict[str, Any]:
    own = known.meta.threshold
    row = {
        **known.meta.model_dump(mode="json"),
        "thresholds": [asdict(outcomes.at(threshold)) for threshold in THRESHOLDS],
    }
    if own is None or outcomes.right is None or outcomes.whole_right is None:
        return row
    at = outcomes.at(own)
    exited = int((outcomes.confidence >= own).sum())
    agreeing = int(outcomes.agrees[outcomes.confidence >= own].sum())
    row["own"] = {
        **asdict(at),
        "points_lost": 100 * ((at.whole_accuracy or 0.0) - (at.accuracy or 0.0)),
        "exit_rate_95": wilson(exited, at.samples),
        "agreement_95": wilson(agreeing, exited) if exited else None,
    }
    return row


if __name__ == "__main__":
    reporting.main(__doc__ or "", measure, frames=2000, seed=7)
