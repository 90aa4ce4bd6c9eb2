"""What do codecs cost and save at the demo's cuts: bytes, accuracy, and time?

Accuracy on frames that nobody has seen: other writers and other parts of the photographs than those
of training and calibration. Times are of 100,000 real values, on one core.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import reporting
from partitioner.bundle.accuracy import Accuracy
from partitioner.bundle.bundle import Bundle
from partitioner.calibration.measurement import Sample, Stages, measure_cut
from protos.codecs.base import Codec
from protos.codecs.registry import codecs_for, get_codec
from protos.names import CLOUD
from protos.tensors import Array

DIGITS = Path(__file__).parent.parent / "examples" / "digits"
CUTS = "cut-02,cut-04,cut-07,cut-11,cut-13"
VALUES = 100_000
WARM_FRAMES = 48


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Bytes and accuracy at each cut, JPEG quality 75 beside them, then seconds."""
    bundle = Bundle.load(DIGITS / "bundle")
    samples = held_out(bundle, max(arguments.frames, WARM_FRAMES), arguments.seed)
    cuts = arguments.cuts.split(",")
    accuracy = list(accuracies(bundle, cuts, samples, arguments.codecs.split(",")))
    return {
        "frames": len(samples),
        "whole_accuracy": accuracy[0].whole_right / len(samples),
        "options": [{**found.to_dict(), **ratios(bundle, found)} for found in accuracy],
        "seconds_per_100000_values": {
            cut: seconds(bundle, cut, samples[:WARM_FRAMES], arguments.rounds) for cut in cuts
        },
    }


def held_out(bundle: Bundle, count: int, seed: int) -> list[Sample]:
    """Frames of the test split, drawn by another seed than the demo's hundred."""
    sys.path.insert(0, str(DIGITS))
    import data

    source, rng = data.FrameSource(data.TEST), np.random.default_rng(seed)
    (name,) = (spec.name for spec in bundle.inputs)
    digits = [number % len(source) for number in range(count)]
    return [
        Sample({name: source.frame(digit, rng)[np.newaxis]}, int(source.labels[digit]))
        for digit in digits
    ]


def accuracies(
    bundle: Bundle, cuts: Sequence[str], samples: Sequence[Sample], wanted: Sequence[str]
) -> Any:
    """Yield JPEG's accuracy at the cut `cloud`, then every wanted codec's at every cut."""
    whole = bundle.open_tail(CLOUD)
    expected = [whole.run(sample.feeds) for sample in samples]
    at_cloud = Stages.open(bundle, bundle.cut(CLOUD))
    yield from measure_cut(at_cloud, [get_codec("jpeg-75")], samples, expected)
    for cut in map(bundle.cut, cuts):
        codecs = [get_codec(name, bundle.ranges) for name in wanted]
        yield from measure_cut(Stages.open(bundle, cut), codecs, samples, expected)


def ratios(bundle: Bundle, found: Accuracy) -> dict[str, float]:
    """How often the encoded frontier goes into the plain one."""
    plain = sum(spec.nbytes() for spec in bundle.cut(found.cut).frontier)
    return {"plain_bytes": plain, "ratio": plain / found.payload_bytes}


def seconds(bundle: Bundle, cut: str, samples: Sequence[Sample], rounds: int) -> dict[str, Any]:
    """Encode and decode seconds of every codec on values out of the head, brought to 100,000 values."""
    (spec,) = bundle.cut(cut).frontier
    head = bundle.open_head(cut)
    frames = [head.run(sample.feeds)[spec.name] for sample in samples]
    wanted = -(-VALUES // frames[0].size)
    values = np.concatenate((frames * (1 + wanted // len(frames)))[:wanted])
    scale = VALUES / values.size
    return {
        codec.name: {
            step: {**reporting.spread([scale * s for s in found])}
            for step, found in timed(codec, values, spec.name, rounds).items()
        }
        for codec in codecs_for((spec,), bundle.ranges)
    }


def timed(codec: Codec, values: Array, name: str, rounds: int) -> dict[str, list[float]]:
    """Seconds of each round of encoding, and of decoding."""
    data = codec.encode(values, name)
    steps: dict[str, Callable[[], object]] = {
        "encode": lambda: codec.encode(values, name),
        "decode": lambda: codec.decode(data, "float32", values.shape, name),
    }
    found: dict[str, list[float]] = {step: [] for step in steps}
    for _ in range(rounds):
        for step, call in steps.items():
            start = time.perf_counter()
            call()
            found[step].append(time.perf_counter() - start)
    return found


if __name__ == "__main__":
    reporting.main(
        __doc__ or "", measure, frames=2000, seed=5, rounds=50, cuts=CUTS, codecs="q2,q3,q4,int8"
    )
