"""`splitpoint exits train`, `threshold` and `report`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from partitioner.cli.flags.arguments import (
    BundleArgument,
    CutList,
    DataOption,
    LabelsOption,
    MaxSamples,
    check_most_samples,
    split_cuts,
)
from partitioner.cli.flags.keys import remind_to_sign
from partitioner.cli.flags.runtime import RuntimeFlags
from partitioner.common.defaults import DEFAULT_AGREEMENT, DEFAULT_EPOCHS, DEFAULT_EXIT_SAMPLES
from partitioner.common.files import check_target
from partitioner.settings.panels import CHOICE, DATA
from partitioner.terminal.app import new_app
from partitioner.terminal.console import JsonFlag, print_json, progress, remark, screen
from partitioner.terminal.flags import flag

if TYPE_CHECKING:
    from partitioner.bundle.bundle import Bundle
    from partitioner.bundle.exit_outcomes import Outcomes
    from partitioner.bundle.exits import BundleExits
    from partitioner.exits.trainer import Data
    from protos.tensors import Array

exits = new_app(help="Small classifiers at the cuts that may answer early.")

Agreement = Annotated[
    float,
    flag(
        "Share of those that exit which shall get the whole model's class, at least: chance is allowed for.",
        "SHARE",
        panel=CHOICE,
    ),
]


@exits.command()
def train(
    bundle: BundleArgument,
    data: DataOption,
    runtime: RuntimeFlags,
    labels: LabelsOption = None,
    held_out: Annotated[
        Path | None,
        flag(
            "Other inputs, to calibrate and judge with.",
            "INPUTS",
            panel=DATA,
            default="a fifth of --data, of every class alike, which is then not trained on",
        ),
    ] = None,
    held_out_labels: Annotated[
        Path | None,
        flag("The CSV of file,label of --held-out.", "LABELS.csv", panel=DATA),
    ] = None,
    max_samples: MaxSamples = DEFAULT_EXIT_SAMPLES,
    cuts: CutList = None,
    agreement: Agreement = DEFAULT_AGREEMENT,
    epochs: Annotated[
        int, flag("Times that all inputs are trained on.", "N", panel=CHOICE, min=1)
    ] = DEFAULT_EPOCHS,
    as_json: JsonFlag = False,
) -> None:
    """Train an exit at every cut to answer as the whole model does, and choose its threshold.

    Needs no source of the model: the runtime computes what crosses, torch (extra `torch`) trains on it.
    Confidence and threshold come from inputs that were not trained on. All goes into exits.npz
    in the bundle; copy that to the device.

    Example: splitpoint exits train resnet50 --data photos --labels photos/labels.csv
    """
    from partitioner.bundle.bundle import Bundle
    from partitioner.bundle.exits import EXITS_FILE
    from partitioner.exits.trainer import MIN_TRAINED, MIN_UNDIVIDED, classifier_output, train_exits
    from protos.errors import UsageError

    least = MIN_TRAINED if held_out else MIN_UNDIVIDED
    check_most_samples(max_samples, least, "train exits")
    loaded = Bundle.load(bundle)
    classifier_output(loaded)
    if held_out_labels and not held_out:
        raise UsageError("--held-out-labels are of --held-out, which is missing. Give both.")
    if held_out and (labels is None) != (held_out_labels is None):
        raise UsageError("labels are of one half only. Give --held-out-labels with --labels.")
    check_target("the exits'", loaded.path / EXITS_FILE)
    inputs = _read(loaded, data, labels, max_samples)
    others = _read(loaded, held_out, held_out_labels, max_samples) if held_out else None
    with progress() as bar:
        task = bar.add_task("training exits", total=None)

        def show(step: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, description=f"exits: {step}")

        found = train_exits(
            loaded,
            inputs,
            others,
            cuts=split_cuts(cuts),
            agreement=agreement,
            epochs=epochs,
            options=runtime.read(),
            on_progress=show,
        )
    found.save(loaded.folder_for("exits"))
    remind_to_sign(loaded)
    outcomes = {cut: exit_.outcomes for cut, exit_ in found.by_cut.items()}
    _show(loaded, found, outcomes, None, None, as_json=as_json)


@exits.command()
def threshold(
    bundle: BundleArgument,
    agreement: Agreement = DEFAULT_AGREEMENT,
    as_json: JsonFlag = False,
) -> None:
    """Choose the exits' thresholds anew, for another agreement; nothing is trained.

    They follow from the held-out inputs of the training, whose outcomes are in exits.npz.

    Example: splitpoint exits threshold resnet50 --agreement 0.995
    """
    from partitioner.bundle.bundle import Bundle

    loaded = Bundle.load(bundle)
    found = loaded.known_exits().with_agreement(agreement)
    found.save(loaded.folder_for("exits"))
    remind_to_sign(loaded)
    outcomes = {cut: exit_.outcomes for cut, exit_ in found.by_cut.items()}
    _show(loaded, found, outcomes, None, None, as_json=as_json)


@exits.command()
def report(
    bundle: BundleArgument,
    runtime: RuntimeFlags,
    data: Annotated[
        Path | None,
        flag(
            "Other inputs to judge the exits with.",
            "INPUTS",
            panel=DATA,
            default="what was measured when they were trained",
        ),
    ] = None,
    labels: LabelsOption = None,
    max_samples: MaxSamples = DEFAULT_EXIT_SAMPLES,
    threshold: Annotated[
        list[float] | None,
        flag(
            "Show this threshold; may be given several times.",
            "SHARE",
            panel=CHOICE,
            min=0,
            max=1,
            default="those that a limit may choose from",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show how often each exit answers, how often it is right, and how honest its confidence is.

    Example: splitpoint exits report resnet50 --data others --labels others/labels.csv
    """
    from partitioner.bundle.bundle import Bundle
    from partitioner.exits.trainer import measure_exits
    from protos.errors import UsageError

    loaded = Bundle.load(bundle)
    found = loaded.known_exits()
    if labels and not data:
        raise UsageError("--labels are of --data, which is missing. Give both.")
    if data:
        inputs = _read(loaded, data, labels, max_samples)
        outcomes = measure_exits(loaded, found, inputs, runtime.read())
    else:
        outcomes = {cut: exit_.outcomes for cut, exit_ in found.by_cut.items()}
    _show(loaded, found, outcomes, threshold or None, data, as_json=as_json)


def _read(bundle: "Bundle", data: Path, labels: Path | None, most: int) -> "Data":
    """Return the inputs, which are read again whenever they are needed, with their labels."""
    from partitioner.exits.trainer import Data
    from partitioner.inputs.files import load_named, named_frames, names_of
    from partitioner.inputs.labels import known_labels, labels_of

    load_named(data, bundle.inputs, 1, remark)  # what cannot be read is said at once
    labelled = labels is not None or data.is_dir()
    names = names_of(data, bundle.inputs, most) if labelled else []
    classes = known_labels(labels, names, bundle.manifest.labels, bundle.outputs, remark)
    known = None if classes is None else labels_of(names, classes, bundle.outputs)

    def frames() -> "Iterator[dict[str, Array]]":
        return (feeds for _, feeds in named_frames(data, bundle.inputs, most, lambda _: None))

    return Data(frames, known)


def _show(
    bundle: "Bundle",
    found: "BundleExits",
    outcomes: "dict[str, Outcomes]",
    thresholds: Sequence[float] | None,
    data: Path | None,
    *,
    as_json: bool,
) -> None:
    from partitioner.exits.ladder import outdated_text
    from partitioner.reports.exits import exits_json, exits_table, exits_text

    if as_json:
        name = str(data) if data else None
        print_json(exits_json(bundle, found, outcomes, thresholds, name))
        return
    screen.print(exits_table(bundle, found, outcomes, thresholds))
    remark(exits_text(found, outcomes))
    if text := outdated_text(found, bundle.path):
        remark(text)
