"""Samples to calibrate with."""

import numpy as np

from partitioner.bundle.bundle import Bundle
from partitioner.calibration.measurement import Sample
from partitioner.profiles.samples import natural_feeds


def samples(bundle: Bundle, count: int, labelled: bool = False) -> list[Sample]:
    rng = np.random.default_rng(1)
    label = (lambda at: at % 10) if labelled else (lambda _: None)
    return [Sample(natural_feeds(bundle.inputs, rng), label(at)) for at in range(count)]
