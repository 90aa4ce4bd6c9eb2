"""Calibrating a bundle: ranges from some inputs, and from others what every codec costs in accuracy."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from partitioner.bundle.accuracy import Accuracy
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import BundleCalibration, CalibrationMeta, described
from partitioner.bundle.manifest import Cut
from partitioner.calibration.ranges import find_ranges
from partitioner.common.progress import OnProgress, unheard
from partitioner.inputs.division import choose_share
from partitioner.inputs.labels import is_classes, labels_of
from partitioner.runtime.sessions import RuntimeOptions, Stage
from protos.codecs.base import Codec
from protos.codecs.calibration import Calibration, Ranges
from protos.codecs.half import holds_floats
from protos.codecs.registry import RAW, codecs_for
from protos.errors import SourceError
from protos.names import CLOUD, EDGE
from protos.tensors import Array, TensorSpec
from protos.wire.messages import encode_value

MIN_SAMPLES = 32
"""Fewer say nothing about accuracy: of 24, even without any error, up to 14 % may be wrong."""
MAX_RANGE_SAMPLES = 256
_RANGE_PART = 4
"""Of the samples one in so many is for the ranges."""
_MAX_VALUE_BYTES = 256 << 20
"""Of one value, held at once to find its ranges."""

Feeds = Mapping[str, Array]


@dataclass(frozen=True)
class Sample:
    """One input, and the class that is right, where that is known."""

    feeds: Feeds = field(repr=False)
    label: int | None = None


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
            f"{len(samples)} inputs are too few to calibrate with. Give at least {MIN_SAMPLES}; "
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


def calibrate(
    bundle: Bundle,
    samples: Sequence[Sample],
    options: RuntimeOptions | None = None,
    on_progress: OnProgress = unheard,
) -> BundleCalibration:
    """Find the ranges of all values that cross, and the accuracy of every codec at every cut.

    Raises SourceError when the samples are too few. `on_progress` hears the cut, how many are done,
    and how many there are.
    """
    check_enough(samples)
    whole = bundle.open_tail(CLOUD, options)
    answers = [whole.run(sample.feeds) for sample in samples]
    del whole
    chosen = choose_for_ranges(samples, answers, bundle.outputs)
    for_ranges = [sample for sample, is_chosen in zip(samples, chosen, strict=True) if is_chosen]
    measured = [sample for sample, is_chosen in zip(samples, chosen, strict=True) if not is_chosen]
    expected = [answer for answer, is_chosen in zip(answers, chosen, strict=True) if not is_chosen]
    cuts = [cut for cut in bundle.cuts.values() if cut.id != EDGE]
    ranges: dict[str, Mapping[int, Ranges]] = {}
    accuracies: list[Accuracy] = []
    for cut in cuts:
        on_progress(cut.id, len(accuracies and {a.cut for a in accuracies}), len(cuts))
        head = bundle.open_head(cut.id, options)
        ranges |= _ranges_of(cut, head, for_ranges, ranges)
        del head
        codecs = codecs_for(cut.frontier, Calibration(ranges))
        accuracies += measure_cut(bundle, cut, codecs, measured, expected, options)
    on_progress("done", len(cuts), len(cuts))
    found = Calibration(ranges)
    meta = CalibrationMeta(
        split_digest=bundle.manifest.split_digest,
        digest=found.digest,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        range_samples=len(for_ranges),
        values=described(found),
        accuracies=tuple(accuracies),
    )
    return BundleCalibration(meta, found)


def _ranges_of(
    cut: Cut, head: Stage, samples: Sequence[Sample], known: Mapping[str, object]
) -> dict[str, Mapping[int, Ranges]]:
    """Return the ranges of the float32 values of a frontier that are not known yet, where there are any."""
    wanted = [spec for spec in cut.frontier if holds_floats(spec) and spec.name not in known]
    if not wanted:
        return {}
    largest = max(spec.nbytes() for spec in wanted)
    most = max(8, _MAX_VALUE_BYTES // max(largest, 1))
    frontiers = [head.run(sample.feeds) for sample in samples[:most]]
    found: dict[str, Mapping[int, Ranges]] = {}
    for spec in wanted:
        values = np.stack([np.asarray(frontier[spec.name])[0] for frontier in frontiers])
        fits = spec.shape[:1] in ((-1,), (1,)) and len(spec.shape) > 1
        if fits and np.isfinite(values).all() and (ranges := find_ranges(values)):
            found[spec.name] = ranges
    return found


@dataclass
class _Score:
    """What adds up over the samples for one codec."""

    codec: Codec
    payload_bytes: int = 0
    agreeing: int = 0
    right: int = 0
    errors: list[float] = field(default_factory=list)


def measure_cut(
    bundle: Bundle,
    cut: Cut,
    codecs: Sequence[Codec],
    samples: Sequence[Sample],
    expected: Sequence[Feeds],
    options: RuntimeOptions | None = None,
) -> list[Accuracy]:
    """Return the accuracy of every lossy codec at one cut; `expected` is what the whole model makes of
    each sample."""
    head, tail = bundle.open_head(cut.id, options), bundle.open_tail(cut.id, options)
    scores = [_Score(codec) for codec in codecs if codec is not RAW]
    for sample, whole in zip(samples, expected, strict=True):
        values = head.run(sample.feeds)
        for score in scores:
            decoded = {spec.name: _there_and_back(score, spec, values) for spec in cut.frontier}
            outputs = {**{name: values[name] for name in cut.head_outputs}, **tail.run(decoded)}
            _compare(score, outputs, whole, sample.label)
    classes = all(is_classes(spec) for spec in bundle.outputs)
    labelled = sum(sample.label is not None for sample in samples)
    whole_right = sum(
        sample.label == _strongest(whole)[0]
        for sample, whole in zip(samples, expected, strict=True)
        if sample.label is not None
    )
    return [
        Accuracy(
            cut=cut.id,
            codec=score.codec.name,
            samples=len(samples),
            payload_bytes=score.payload_bytes / len(samples),
            agreeing=score.agreeing if classes else None,
            labelled=labelled,
            right=score.right,
            whole_right=whole_right,
            error=float(np.mean(score.errors)),
        )
        for score in scores
    ]


def _there_and_back(score: _Score, spec: TensorSpec, values: Feeds) -> Array:
    array = values[spec.name]
    codec, data = encode_value(score.codec, spec, array)
    score.payload_bytes += len(data)
    return codec.decode(data, spec.dtype, array.shape, spec.name)


def _compare(score: _Score, outputs: Feeds, whole: Feeds, label: int | None) -> None:
    found = _strongest(outputs)
    score.agreeing += found == _strongest(whole)
    score.right += label is not None and found[0] == label
    score.errors.append(max(relative_error(outputs[name], whole[name]) for name in whole))


def _strongest(outputs: Feeds) -> list[int]:
    return [int(np.argmax(outputs[name])) for name in sorted(outputs)]


def relative_error(found: Array, wanted: Array) -> float:
    """Return |found - wanted|₂ / |wanted|₂, of nothing but zeros |found - wanted|₂; NaN counts as 1."""
    one, two = found.astype(np.float64), wanted.astype(np.float64)
    error = float(np.linalg.norm(one - two))
    norm = float(np.linalg.norm(two))
    relative = error / norm if norm else error
    return relative if np.isfinite(relative) else 1.0
