"""Making the exits of a bundle, from inputs alone: features by the heads, scores by the whole model."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.exit_outcomes import Floats, Outcomes, fit_temperature, softmax
from partitioner.bundle.exits import (
    CONFIDENCE,
    BundleExits,
    Exit,
    ExitMeta,
    ExitsMeta,
    check_agreement,
    open_exit,
)
from partitioner.bundle.manifest import Cut
from partitioner.common.defaults import DEFAULT_AGREEMENT, DEFAULT_EPOCHS, HELD_OUT_PART
from partitioner.common.progress import OnProgress, unheard
from partitioner.common.units import format_size, plural
from partitioner.exits.features import Feature, features_of
from partitioner.inputs.division import choose_share
from partitioner.inputs.labels import is_classes
from partitioner.runtime.sessions import RuntimeOptions, random_feeds
from protos.errors import SourceError, UsageError
from protos.names import CLOUD
from protos.tensors import Array, TensorSpec

if TYPE_CHECKING:
    from partitioner.exits.network import TrainingSettings

MIN_TRAINED = 200
MIN_HELD_OUT = 50
"""Fewer say nothing of an agreement of 98 % or more."""
MIN_UNDIVIDED = max(
    MIN_TRAINED * HELD_OUT_PART // (HELD_OUT_PART - 1), MIN_HELD_OUT * HELD_OUT_PART
)
"""Of inputs of which a part is held out."""
_MAX_FEATURE_BYTES = 2 << 30
_TIMED_RUNS = 9

Feeds = Mapping[str, Array]
Frames = Callable[[], Iterable[Feeds]]
"""The same inputs, each of one sample, whenever it is called; they need not fit into memory."""
Classes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Data:
    """Inputs to train on and to judge with, and the right class of each where that is known."""

    frames: Frames
    labels: Sequence[int] | None = None


@dataclass(frozen=True, eq=False)
class _Known:
    """What holds for all exits: which inputs are for what, and what the whole model makes of them."""

    scores: Floats
    """[n, classes], as logits."""
    labels: Classes | None
    held_out: npt.NDArray[np.bool_]
    probabilities: bool

    @property
    def whole(self) -> Classes:
        return np.asarray(np.argmax(self.scores, axis=1))


def classifier_output(bundle: Bundle) -> TensorSpec:
    """Return the output that names a class; UsageError for a model that is no classifier."""
    output = bundle.outputs[0]
    if len(bundle.outputs) == 1 and is_classes(output) and output.dtype == "float32":
        return output
    shown = ", ".join(f"{spec.name} {spec}" for spec in bundle.outputs)
    raise UsageError(
        f"{bundle.name} is no classifier that exits could answer for: that has one output float32"
        f"[batch, classes], and this has {shown}. It needs none to lose no frame: without the cloud, "
        "frames are finished on the device."
    )


def cuts_to_exit(bundle: Bundle, wanted: Sequence[str] = ()) -> list[Cut]:
    """Return the cuts that can have an exit, or the `wanted` ones; UsageError when one cannot."""
    usable = {cut.id: cut for cut in bundle.cuts.values() if cut.head_graph and cut.tail_graph}
    usable = {cut_id: cut for cut_id, cut in usable.items() if features_of(cut)}
    for cut_id in wanted:
        if bundle.cut(cut_id).id not in usable:
            raise UsageError(
                f"{cut_id} can have no exit: it needs a head, a tail, and a float32 value of two to "
                f"four axes that crosses. Use some of: {', '.join(usable) or 'none'}."
            )
    if not usable:
        raise UsageError(
            f"{bundle.name} has no cut whose frontier an exit could use: a float32 value of two to "
            "four axes. Without the cloud, frames are finished on the device."
        )
    return [usable[cut_id] for cut_id in usable if not wanted or cut_id in wanted]


def train_exits(
    bundle: Bundle,
    data: Data,
    held_out: Data | None = None,
    *,
    cuts: Sequence[str] = (),
    agreement: float = DEFAULT_AGREEMENT,
    epochs: int = DEFAULT_EPOCHS,
    options: RuntimeOptions | None = None,
    on_progress: OnProgress = unheard,
) -> BundleExits:
    """Train, calibrate and judge an exit at each cut; nothing is written.

    Temperature and threshold come from `held_out`; without it from a fifth of `data`, of every class
    alike, which is then not trained on. Raises UsageError for a model that is no classifier, SourceError
    for inputs that are too few, that are of one class, or whose labels cannot be right.
    """
    try:
        from partitioner.exits.network import TrainingSettings
    except ImportError as error:
        raise UsageError(
            f"exits are trained with torch and written with onnx, and {error.name} is not installed. "
            "Install both with: pip install 'splitpoint[torch]'."
        ) from error
    output = classifier_output(bundle)
    check_agreement(agreement)
    chosen = cuts_to_exit(bundle, cuts)
    options = options or RuntimeOptions()
    on_progress("the whole model", 0, len(chosen) + 1)
    known = _know(bundle, data, held_out, output, options)
    settings = TrainingSettings(epochs=epochs)
    sources = [data, held_out] if held_out else [data]
    exits: dict[str, Exit] = {}
    for cut in chosen:
        on_progress(cut.id, len(exits) + 1, len(chosen) + 1)
        exits[cut.id] = _make(bundle, cut, sources, known, agreement, settings, options)
    meta = ExitsMeta(
        split_digest=bundle.manifest.split_digest,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        agreement=agreement,
        trained_samples=int(np.sum(~known.held_out)),
        held_out_samples=int(np.sum(known.held_out)),
        exits=tuple(found.meta for found in exits.values()),
    )
    return BundleExits(meta, exits)


def _know(
    bundle: Bundle, data: Data, held_out: Data | None, output: TensorSpec, options: RuntimeOptions
) -> _Known:
    first = whole_scores(bundle, data.frames, output, options)
    if held_out is None:
        scores = first
        labels = data.labels
        classes = np.argmax(first, axis=1).tolist() if labels is None else labels
        apart = choose_share(classes, len(first) // HELD_OUT_PART)
    else:
        second = whole_scores(bundle, held_out.frames, output, options)
        apart = np.arange(len(first) + len(second)) >= len(first)
        scores = np.concatenate([first, second])
        both = data.labels is not None and held_out.labels is not None
        labels = [*(data.labels or ()), *(held_out.labels or ())] if both else None
    _check_enough(int(np.sum(~apart)), int(np.sum(apart)), given=held_out is not None)
    right = None if labels is None else np.asarray(labels, np.int64)
    logits, probabilities = _as_logits(scores)
    known = _Known(logits, right, apart, probabilities)
    _check_classes(known)
    return known


def whole_scores(
    bundle: Bundle, frames: Frames, output: TensorSpec, options: RuntimeOptions
) -> Floats:
    """Return what the whole model makes of each input, [n, classes]; SourceError for what is no number."""
    whole = bundle.open_tail(CLOUD, options)
    rows = [whole.run(feeds)[output.name][0] for feeds in frames()]
    scores = np.asarray(rows, np.float32).reshape(len(rows), -1)
    if not np.isfinite(scores).all():
        raise SourceError("the whole model answers some inputs with what is no number. Check them.")
    return scores


def _as_logits(scores: Floats) -> tuple[Floats, bool]:
    """Return logits for scores, and whether the scores are probabilities."""
    sums = scores.astype(np.float64).sum(axis=1)
    if (scores >= 0).all() and np.allclose(sums, 1.0, atol=1e-3):
        return np.log(np.maximum(scores, np.float32(1e-7))), True
    return scores, False


def _check_enough(trained: int, held_out: int, *, given: bool) -> None:
    if trained < MIN_TRAINED or held_out < MIN_HELD_OUT:
        wanted = (
            f"Give at least {MIN_TRAINED} and {MIN_HELD_OUT}"
            if given
            else f"Give at least {MIN_UNDIVIDED} in all"
        )
        raise SourceError(
            f"exits take more than {plural(trained, 'input')} to train on and {held_out} to judge them with. "
            f"{wanted}; some thousands make better exits."
        )


def _check_classes(known: _Known) -> None:
    for rows, use in ((~known.held_out, "to train on"), (known.held_out, "to judge with")):
        for classes, whose in ((known.whole, "the whole model"), (known.labels, "the labels")):
            if classes is not None and len(np.unique(classes[rows])) < 2:
                raise SourceError(
                    f"by {whose}, all inputs {use} are of one class ({classes[rows][0]}): an exit "
                    "would learn nothing. Give inputs of all classes."
                )
    if known.labels is not None:
        right = float(np.mean(known.whole == known.labels))
        commonest = float(np.bincount(known.labels).max() / len(known.labels))
        if right <= commonest:
            raise SourceError(
                f"the whole model agrees with {100 * right:.1f} % of the labels, and naming the "
                f"commonest class would with {100 * commonest:.1f} %: they are not of these inputs, or "
                "count the classes otherwise. Correct the labels, or leave them out."
            )


def _make(
    bundle: Bundle,
    cut: Cut,
    sources: Sequence[Data],
    known: _Known,
    agreement: float,
    settings: "TrainingSettings",
    options: RuntimeOptions,
) -> Exit:
    from partitioner.exits.network import distill, scores_of, to_onnx

    features = features_of(cut)
    values = _collect(bundle, cut, features, sources, options)
    trained, apart = ~known.held_out, known.held_out
    labels = None if known.labels is None else known.labels[trained]
    network = distill(
        features, [value[trained] for value in values], known.scores[trained], labels, settings
    )
    scores = scores_of(network, [value[apart] for value in values])
    temperature = fit_temperature(scores, known.whole[apart])
    outcomes = judge(
        softmax(scores / np.float32(temperature)),
        known.whole[apart],
        None if known.labels is None else known.labels[apart],
    )
    output = classifier_output(bundle)
    graph = to_onnx(network, features, output, temperature, probabilities=known.probabilities)
    meta = ExitMeta(
        cut=cut.id,
        temperature=temperature,
        threshold=outcomes.threshold_for(agreement),
        head_share=0.0,
    )
    made = Exit(meta, graph, outcomes)
    return replace(made, meta=meta.model_copy(update=_timed(bundle, cut, made, output, options)))


def _collect(
    bundle: Bundle,
    cut: Cut,
    features: Sequence[Feature],
    sources: Sequence[Data],
    options: RuntimeOptions,
) -> list[Array]:
    """Return each feature of all inputs, [n, …]; SourceError when they would not fit into memory."""
    head = bundle.open_head(cut.id, options)
    most = _MAX_FEATURE_BYTES // max(1, sum(feature.nbytes for feature in features))
    rows: list[list[Array]] = [[] for _ in features]
    for source in sources:
        for feeds in source.frames():
            frontier = head.run(feeds)
            if len(rows[0]) == most:
                raise SourceError(
                    f"more than {plural(most, 'input')} cannot be held: what exits train on at {cut.id} "
                    f"would take over {format_size(_MAX_FEATURE_BYTES)} of memory. Give fewer, or other cuts."
                )
            for found, feature in zip(rows, features, strict=True):
                found.append(feature.reduce(frontier))
    return [np.stack(found) for found in rows]


def judge(chances: Floats, whole: Classes, labels: Classes | None) -> Outcomes:
    """Return what an exit's probabilities [n, classes] come to beside the whole model's classes [n]."""
    found = np.argmax(chances, axis=1)
    confidence = np.asarray(chances.max(axis=1), np.float32)
    if labels is None:
        return Outcomes(confidence, found == whole)
    return Outcomes(confidence, found == whole, found == labels, whole == labels)


def _timed(
    bundle: Bundle, cut: Cut, made: Exit, output: TensorSpec, options: RuntimeOptions
) -> dict[str, float]:
    """Time head and exit by turns, and return the exit's share of the head's seconds."""
    head, stage = bundle.open_head(cut.id, options), open_exit(made, cut, output, options)
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0))
    shares = []
    for run in range(_TIMED_RUNS + 1):
        begun = perf_counter()
        frontier = head.run(feeds)
        between = perf_counter()
        stage.run(frontier)
        if run:  # the first one warms up
            shares.append((perf_counter() - between) / (between - begun))
    return {"head_share": statistics.median(shares)}


def measure_exits(
    bundle: Bundle, exits: BundleExits, data: Data, options: RuntimeOptions | None = None
) -> dict[str, Outcomes]:
    """Run every exit on other inputs, beside the whole model, and return how each did, by its cut."""
    options = options or RuntimeOptions()
    output = classifier_output(bundle)
    whole = np.argmax(whole_scores(bundle, data.frames, output, options), axis=1)
    if not len(whole):
        raise SourceError("there are no inputs to judge exits with. Give some.")
    labels = None if data.labels is None else np.asarray(data.labels, np.int64)
    return {
        cut_id: _measured(bundle, bundle.cut(cut_id), found, data.frames, (whole, labels), options)
        for cut_id, found in exits.by_cut.items()
    }


def _measured(
    bundle: Bundle,
    cut: Cut,
    made: Exit,
    frames: Frames,
    truth: tuple[Classes, Classes | None],
    options: RuntimeOptions,
) -> Outcomes:
    output = classifier_output(bundle)
    head, stage = bundle.open_head(cut.id, options), open_exit(made, cut, output, options)
    answers = [stage.run(head.run(feeds)) for feeds in frames()]
    whole, labels = truth
    confidence = np.asarray([answer[CONFIDENCE][0] for answer in answers], np.float32)
    found = np.asarray([np.argmax(answer[output.name][0]) for answer in answers])
    if labels is None:
        return Outcomes(confidence, found == whole)
    return Outcomes(confidence, found == whole, found == labels, whole == labels)
