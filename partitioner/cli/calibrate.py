"""`splitpoint calibrate`."""

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
from partitioner.common.defaults import DEFAULT_CALIBRATION_SAMPLES
from partitioner.common.files import check_target
from partitioner.terminal.console import JsonFlag, print_json, progress, remark, screen


def calibrate(
    bundle: BundleArgument,
    data: DataOption,
    runtime: RuntimeFlags,
    labels: LabelsOption = None,
    cuts: CutList = None,
    max_samples: MaxSamples = DEFAULT_CALIBRATION_SAMPLES,
    as_json: JsonFlag = False,
) -> None:
    """Find the ranges for low-bit codecs, and measure what every codec loses at every cut.

    Ranges are found on a quarter of the inputs (at most 256), of every class alike, and accuracy is
    measured on the others, on all cores. Both go into the bundle; copy it to the other side again, or fetch
    it. With --cuts, what was found at the other cuts before stays.

    Example: splitpoint calibrate resnet50 --data photos --labels photos/labels.csv
    """
    from partitioner.bundle.bundle import Bundle
    from partitioner.bundle.calibration import CALIBRATION_FILE
    from partitioner.calibration.calibrator import MIN_SAMPLES, check_enough, label_samples
    from partitioner.calibration.calibrator import calibrate as find_calibration
    from partitioner.inputs.files import load_named
    from partitioner.inputs.labels import known_labels
    from partitioner.reports.calibration import (
        calibration_json,
        calibration_table,
        calibration_text,
    )

    check_most_samples(max_samples, MIN_SAMPLES, "calibrate")
    loaded = Bundle.load(bundle, calibrated=cuts is not None)
    chosen = split_cuts(cuts)
    for name in chosen:
        loaded.cut(name)  # before anything takes long
    check_target("the calibration", loaded.path / CALIBRATION_FILE)
    named = load_named(data, loaded.inputs, max_samples, remark)
    names, classes = [name for name, _ in named], loaded.manifest.labels
    known = known_labels(labels, names, classes, loaded.outputs, remark)
    samples = label_samples(named, known, loaded.outputs)
    check_enough(samples)  # before anything takes long
    with progress() as bar:
        task = bar.add_task("calibrating", total=None)

        def show(cut: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, description=f"calibrating {cut}")

        found = find_calibration(loaded, samples, runtime.read(), show, cuts=chosen or None)
    found.save(loaded.folder_for("the calibration"))
    remind_to_sign(loaded)
    if as_json:
        print_json(calibration_json(loaded, found))
        return
    screen.print(calibration_table(loaded, found))
    screen.print(calibration_text(loaded, found))
    remark(
        "Next: put calibration.npz into the server's copy of the bundle, if it has one of its own; then "
        f"splitpoint profile {bundle} --cloud HOST:PORT, and splitpoint plan {bundle} --accuracy-drop 0.5 …"
    )
