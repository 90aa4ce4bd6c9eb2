"""`splitpoint calibrate`."""

from pathlib import Path
from typing import Annotated

import typer

from partitioner.cli.arguments import BundleArgument, Provider, Threads
from partitioner.common.defaults import (
    DEFAULT_CALIBRATION_SAMPLES,
    DEFAULT_PROVIDER,
    DEFAULT_THREADS,
)
from partitioner.common.files import check_target
from partitioner.terminal.console import JsonFlag, print_json, progress, remark, screen


def calibrate(
    bundle: BundleArgument,
    data: Annotated[
        Path,
        typer.Option(
            help="Inputs like those to come: a folder of images, .npy or .npz.", show_default=False
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(help="A CSV of file,label; else codecs are held against the whole model."),
    ] = None,
    max_samples: Annotated[
        int, typer.Option(help="Use at most this many inputs.", min=1)
    ] = DEFAULT_CALIBRATION_SAMPLES,
    threads: Threads = DEFAULT_THREADS,
    provider: Provider = DEFAULT_PROVIDER,
    as_json: JsonFlag = False,
) -> None:
    """Find the ranges for low-bit codecs, and measure what every codec loses at every cut.

    Ranges are found on every fourth input (at most 256), accuracy is measured on the others. Both go
    into the bundle; copy it to the other side again, or fetch it.

    Example: splitpoint calibrate resnet50 --data photos --labels photos/labels.csv
    """
    from partitioner.bundle.bundle import Bundle
    from partitioner.bundle.calibration import CALIBRATION_FILE
    from partitioner.calibration.calibrator import calibrate as find_calibration
    from partitioner.calibration.calibrator import label_samples, split_samples
    from partitioner.inputs.files import load_named
    from partitioner.inputs.labels import read_labels
    from partitioner.reports.calibration import (
        calibration_json,
        calibration_table,
        calibration_text,
    )
    from partitioner.runtime.sessions import RuntimeOptions

    loaded = Bundle.load(bundle, calibrated=False)
    check_target("the calibration", loaded.path / CALIBRATION_FILE)
    classes = read_labels(labels, loaded.manifest.labels) if labels else None
    samples = label_samples(load_named(data, loaded.inputs, max_samples), classes, loaded.outputs)
    split_samples(samples)  # whether they are enough, before anything takes long
    with progress() as bar:
        task = bar.add_task("calibrating", total=None)

        def show(cut: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, description=f"calibrating {cut}")

        found = find_calibration(loaded, samples, RuntimeOptions(threads, provider), show)
    found.save(loaded.path)
    if as_json:
        print_json(calibration_json(loaded, found))
        return
    screen.print(calibration_table(loaded, found))
    screen.print(calibration_text(found))
    remark(
        "Next: restart the server, if one runs, with calibration.npz in its copy of the bundle; then "
        f"splitpoint profile {bundle} --cloud HOST:PORT, and splitpoint plan {bundle} --accuracy-drop 0.5 …"
    )
