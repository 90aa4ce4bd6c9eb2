"""What every codec loses at a cut: head, codec and tail against the whole model, sample by sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from partitioner.bundle.accuracy import Accuracy
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import Cut
from partitioner.calibration.cores import Cores
from partitioner.common.progress import OnProgress, unheard
from partitioner.inputs.labels import is_classes
from partitioner.runtime.sessions import RuntimeOptions, Stage
from protos.codecs.base import Codec
from protos.codecs.registry import RAW
from protos.tensors import Array, TensorSpec
from protos.wire.messages import encode_value

Feeds = Mapping[str, Array]


@dataclass(frozen=True)
class Sample:
    """One input, and the class that is right, where that is known."""

    feeds: Feeds = field(repr=False)
    label: int | None = None


@dataclass(frozen=True)
class _Score:
    """One sample by one codec."""

    payload_bytes: int
    agrees: bool
    right: bool
    error: float


@dataclass(frozen=True)
class Stages:
    """A cut with its head and tail, and the outputs of the whole model."""

    cut: Cut
    head: Stage
    tail: Stage
    outputs: tuple[TensorSpec, ...]

    @classmethod
    def open(cls, bundle: Bundle, cut: Cut, options: RuntimeOptions | None = None) -> "Stages":
        """Load head and tail of a cut."""
        head, tail = bundle.open_head(cut.id, options), bundle.open_tail(cut.id, options)
        return cls(cut, head, tail, bundle.outputs)


def measure_cut(
    stages: Stages,
    codecs: Sequence[Codec],
    samples: Sequence[Sample],
    expected: Sequence[Feeds],
    cores: Cores | None = None,
    on_progress: OnProgress = unheard,
) -> list[Accuracy]:
    """Return the accuracy of every lossy codec at one cut; `expected` is what the whole model makes of
    each sample.

    The head runs once for a sample, the tail once for each codec. `on_progress` hears of every sample.
    """
    lossy = [codec for codec in codecs if codec is not RAW]

    def scores_of(pair: tuple[Sample, Feeds]) -> list[_Score]:
        values = stages.head.run(pair[0].feeds)
        return [_score(stages, codec, values, *pair) for codec in lossy]

    pairs = list(zip(samples, expected, strict=True))
    rows = []
    for row in (cores or Cores()).map(scores_of, pairs):
        rows.append(row)
        on_progress(stages.cut.id, len(rows), len(pairs))
    classes = all(is_classes(spec) for spec in stages.outputs)
    labelled = sum(sample.label is not None for sample in samples)
    whole_right = sum(_is_right(whole, sample.label) for sample, whole in pairs)
    return [
        Accuracy(
            cut=stages.cut.id,
            codec=codec.name,
            samples=len(samples),
            payload_bytes=sum(row[at].payload_bytes for row in rows) / len(samples),
            agreeing=sum(row[at].agrees for row in rows) if classes else None,
            labelled=labelled,
            right=sum(row[at].right for row in rows),
            whole_right=whole_right,
            error=float(np.mean([row[at].error for row in rows])),
        )
        for at, codec in enumerate(lossy)
    ]


def _score(stages: Stages, codec: Codec, values: Feeds, sample: Sample, whole: Feeds) -> _Score:
    decoded, payload_bytes = {}, 0
    for spec in stages.cut.frontier:
        decoded[spec.name], size = _there_and_back(codec, spec, values[spec.name])
        payload_bytes += size
    own = {name: values[name] for name in stages.cut.head_outputs}
    outputs = {**own, **stages.tail.run(decoded)}
    return _Score(
        payload_bytes=payload_bytes,
        agrees=_strongest(outputs) == _strongest(whole),
        right=_is_right(outputs, sample.label),
        error=max(relative_error(outputs[name], whole[name]) for name in whole),
    )


def _there_and_back(codec: Codec, spec: TensorSpec, array: Array) -> tuple[Array, int]:
    used, data = encode_value(codec, spec, array)
    return used.decode(data, spec.dtype, array.shape, spec.name), len(data)


def _is_right(outputs: Feeds, label: int | None) -> bool:
    return label is not None and _strongest(outputs)[0] == label


def _strongest(outputs: Feeds) -> list[int]:
    """Return the place of each output's largest value; -1 where it has none."""
    return [int(np.argmax(outputs[name])) if outputs[name].size else -1 for name in sorted(outputs)]


def relative_error(found: Array, wanted: Array) -> float:
    """Return |found - wanted|₂ / |wanted|₂, of nothing but zeros |found - wanted|₂; NaN counts as 1, and
    so does another shape, which outputs have that the data size."""
    if found.shape != wanted.shape:
        return 1.0
    one, two = found.astype(np.float64), wanted.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        error, norm = _norm(one - two), _norm(two)
    relative = error / norm if norm else error
    return relative if np.isfinite(relative) else 1.0


def _norm(array: Array) -> float:
    # numpy's own is a product by BLAS, whose threads cost more than the sum where others compute beside it.
    return float(np.sqrt(np.square(array).sum()))
