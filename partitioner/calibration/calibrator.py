"""Calibrating a bundle: ranges from some inputs, and from others what every codec costs in accuracy."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from partitioner.bundle.accuracy import Accuracy
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import BundleCalibration, CalibrationMeta, described
from partitioner.bundle.manifest import Cut
from partitioner.calibration.cores import Cores
from partitioner.calibration.measurement import Feeds, Sample, Stages, measure_cut
from partitioner.calibration.ranges import find_ranges
from partitioner.common.progress import OnProgress, unheard
from partitioner.common.units import plural
from partitioner.inputs.division import choose_share
from partitioner.inputs.labels import is_classes, labels_of
from partitioner.runtime.sessions import RuntimeOptions
from protos.codecs.calibration import Calibration, Ranges
from protos.codecs.half import holds_floats
from protos.codecs.registry import codecs_for
from protos.errors import SourceError, UsageError
from protos.names import CLOUD, EDGE
from protos.tensors import TensorSpec

MIN_SAMPLES = 32
"""Fewer say nothing about accuracy: of 24, even without any error, up to 14 % may be wrong."""
MAX_RANGE_SAMPLES = 256
_RANGE_PART = 4
"""Of the samples one in so many is for the ranges."""
_MAX_BYTES = 512 << 20
"""Of the values that cross at a cut, held at once to find their ranges."""
_LEAST_RANGE_SAMPLES = 8


def label_samples(
    named: Sequence[tuple[str, Feeds]],
    labels: Mapping[str, int] | None,
    outputs: Sequence[TensorSpec],
) -> list[Sample]:
    """Return the samples with their labels, if there are any.

    Raises SourceError when a sample has no label, UsageError when the model names no class.
    """
    if labels is None:
        return [Sample(feeds) for _, feeds in named]
    known = labels_of([name for name, _ in named], labels, outputs)
    return [Sample(feeds, label) for (_, feeds), label in zip(named, known, strict=True)]


def check_enough(samples: Sequence[Sample]) -> None:
    """Raise SourceError where there are too few samples to calibrate with."""
    if len(samples) < MIN_SAMPLES:
        raise SourceError(
            f"calibrating with {plural(len(samples), 'input')} finds no ranges that hold. "
            f"Give at least {MIN_SAMPLES}; "
            "some hundreds, to know the accuracy within a point."
        )


def choose_for_ranges(
    samples: Sequence[Sample], answers: Sequence[Feeds], outputs: Sequence[TensorSpec]
) -> npt.NDArray[np.bool_]:
    """Return which samples the ranges are found on, [n]: a quarter up to 256, of every class alike.

    The class is the sample's label, else the whole model's own where it is a classifier. Accuracy is
    measured on all others.
    """
    count = min(MAX_RANGE_SAMPLES, -(-len(samples) // _RANGE_PART))
    return choose_share(_classes(samples, answers, outputs), count)


def _classes(
    samples: Sequence[Sample], answers: Sequence[Feeds], outputs: Sequence[TensorSpec]
) -> list[Hashable]:
    if all(sample.label is not None for sample in samples):
        return [sample.label for sample in samples]
    named = [spec.name for spec in outputs if is_classes(spec)]
    return [tuple(int(np.argmax(answer[name])) for name in named) for answer in answers]


@dataclass
class _Found:
    """Ranges by value, on how many inputs each was found, and the accuracies that rest on them."""

    ranges: dict[str, Mapping[int, Ranges]] = field(default_factory=dict)
    range_samples: dict[str, int] = field(default_factory=dict)
    accuracies: list[Accuracy] = field(default_factory=list)


@dataclass(frozen=True)
class _Division:
    """The samples for the ranges, those to measure with, and what the whole model makes of these."""

    for_ranges: list[Sample]
    measured: list[Sample]
    expected: list[Feeds]


def calibrate(
    bundle: Bundle,
    samples: Sequence[Sample],
    options: RuntimeOptions | None = None,
    on_progress: OnProgress = unheard,
    *,
    cuts: Collection[str] | None = None,
) -> BundleCalibration:
    """Find the ranges of all values that cross, and the accuracy of every codec at every cut.

    With `cuts`, of these alone: what the bundle's calibration says of others stays, and the ranges that it
    rests on. All cores compute. Raises SourceError when the samples are too few, UnknownNameError for a cut
    that the bundle lacks, UsageError for one at which nothing crosses. `on_progress` hears the cut, how
    many samples are done at all cuts, and how many there are.
    """
    check_enough(samples)
    chosen = _cuts_that_cross(bundle, cuts)
    cores = Cores(options)
    division = _divide(bundle, samples, options, cores)
    found = _kept(bundle, chosen)
    total = len(chosen) * len(division.measured)
    for number, cut in enumerate(chosen):
        done = number * len(division.measured)
        on_progress(cut.id, done, total)
        stages = Stages.open(bundle, cut, options)
        _find_ranges(found, stages, division.for_ranges, cores)
        found.accuracies += measure_cut(
            stages,
            codecs_for(cut.frontier, Calibration(found.ranges)),
            division.measured,
            division.expected,
            cores,
            _counted_on(on_progress, done, total),
        )
    on_progress("done", total, total)
    ranges = Calibration(found.ranges)
    meta = CalibrationMeta(
        split_digest=bundle.manifest.split_digest,
        digest=ranges.digest,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        range_samples=len(division.for_ranges),
        values=described(ranges, found.range_samples),
        accuracies=tuple(found.accuracies),
    )
    return BundleCalibration(meta, ranges)


def _cuts_that_cross(bundle: Bundle, asked: Collection[str] | None) -> list[Cut]:
    """Return the cuts that are asked for, once each; without any all but `edge`."""
    if asked and EDGE in asked:
        raise UsageError(
            f"nothing crosses at the cut {EDGE!r}, so codecs lose nothing there. Leave it out."
        )
    return [bundle.cut(cut) for cut in dict.fromkeys(asked or bundle.cuts) if cut != EDGE]


def _counted_on(on_progress: OnProgress, done: int, total: int) -> OnProgress:
    """Return what hears of the samples of one cut and tells of those of all cuts."""

    def hear(cut: str, count: int, _: int) -> None:
        on_progress(cut, done + count, total)

    return hear


def _divide(
    bundle: Bundle, samples: Sequence[Sample], options: RuntimeOptions | None, cores: Cores
) -> _Division:
    whole = bundle.open_tail(CLOUD, options)
    answers = list(cores.map(lambda sample: whole.run(sample.feeds), samples))
    chosen = choose_for_ranges(samples, answers, bundle.outputs)
    known = list(zip(samples, answers, chosen, strict=True))
    return _Division(
        for_ranges=[sample for sample, _, is_chosen in known if is_chosen],
        measured=[sample for sample, _, is_chosen in known if not is_chosen],
        expected=[answer for _, answer, is_chosen in known if not is_chosen],
    )


def _kept(bundle: Bundle, chosen: Sequence[Cut]) -> _Found:
    """Return what stays of the bundle's calibration: the accuracies at other cuts than `chosen`, and the
    ranges of the values that cross there, which they rest on."""
    old = bundle.calibration
    if old is None:
        return _Found()
    again = {cut.id for cut in chosen}
    accuracies = [found for found in old.meta.accuracies if found.cut not in again]
    others = {found.cut for found in accuracies}
    names = {spec.name for cut in others for spec in bundle.cut(cut).frontier}
    ranges = {name: found for name, found in old.ranges.by_value.items() if name in names}
    return _Found(ranges, {name: old.range_samples[name] for name in ranges}, accuracies)


def _find_ranges(known: _Found, stages: Stages, samples: Sequence[Sample], cores: Cores) -> None:
    """Add the ranges of the float32 values of a frontier that are not known yet, where there are any."""
    new = [spec for spec in stages.cut.frontier if spec.name not in known.ranges]
    wanted = [spec for spec in new if _has_ranges(spec)]
    if not wanted:
        return
    most = max(_LEAST_RANGE_SAMPLES, _MAX_BYTES // sum(spec.nbytes() for spec in wanted))
    used = samples[:most]
    stacked = [np.empty((len(used), *spec.sized()[1:]), np.float32) for spec in wanted]
    frontiers = cores.map(lambda sample: stages.head.run(sample.feeds), used)
    for row, frontier in enumerate(frontiers):
        for values, spec in zip(stacked, wanted, strict=True):
            values[row] = frontier[spec.name][0]
    found = cores.map(lambda values: find_ranges(values) if _all_finite(values) else {}, stacked)
    for spec, ranges in zip(wanted, found, strict=True):
        if ranges:
            known.ranges[spec.name] = ranges
            known.range_samples[spec.name] = len(used)


def _has_ranges(spec: TensorSpec) -> bool:
    """Tell whether a value can have ranges: floats with an axis beside the batch, one sample at a time."""
    return holds_floats(spec) and len(spec.shape) > 1 and spec.shape[0] in (-1, 1)


def _all_finite(values: npt.NDArray[np.float32]) -> bool:
    return bool(np.isfinite(values).all())
