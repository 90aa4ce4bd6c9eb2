"""`splitpoint export triton`."""

from pathlib import Path
from typing import Annotated

from partitioner.cli.flags import choices
from partitioner.cli.flags.arguments import BundleArgument, CutList, split_cuts
from partitioner.common.defaults import DEFAULT_THREADS, EXPORT_BACKEND, EXPORT_BATCH_SIZE
from partitioner.settings.panels import BATCHES, CHOICE, OUTPUT, RUNTIME
from partitioner.terminal.console import JsonFlag, print_json, progress, remark, screen
from partitioner.terminal.flags import flag
from protos.errors import UsageError


def triton(
    bundle: BundleArgument,
    out: Annotated[Path, flag("The model repository to make.", "DIR", panel=OUTPUT)],
    cuts: CutList = None,
    codecs: Annotated[
        str | None,
        flag(
            "These codecs alone, as half,int8; raw is always there.",
            "CODECS",
            panel=CHOICE,
            default="all that a graph can decode",
            choices=choices.plain_codecs,
        ),
    ] = None,
    backend: Annotated[
        str,
        flag(
            "The backend that computes; python: for a Triton without the other.",
            "NAME",
            panel=RUNTIME,
            choices=choices.backends,
        ),
    ] = EXPORT_BACKEND,
    threads: Annotated[
        int, flag("Threads that one run of a model computes with.", "N", panel=RUNTIME, min=1)
    ] = DEFAULT_THREADS,
    max_batch_size: Annotated[
        int,
        flag(
            "Rows of several requests that are computed together, where they are independent; 1: none.",
            "ROWS",
            panel=BATCHES,
            min=1,
        ),
    ] = EXPORT_BATCH_SIZE,
    ensembles: Annotated[
        bool,
        flag(
            "Decode in ensembles, whose requests share one tail; else in a copy of the tail each, which "
            "servers without ensembles take too.",
            None,
            "--ensembles/--no-ensembles",
            panel=OUTPUT,
        ),
    ] = True,
    model_version: Annotated[
        int | None,
        flag(
            "The number of the version.",
            "N",
            panel=OUTPUT,
            min=1,
            default="one that no other version of the bundle has, which edges ask for",
        ),
    ] = None,
    force: Annotated[
        bool, flag("Replace an earlier export there.", None, "--force", panel=OUTPUT)
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write a model repository for Triton: the whole model, the tails, and decoders for codecs.

    A tail is called BUNDLE.CUT, and BUNDLE.CUT.CODEC where it takes the frontier by a codec. An edge needs no
    splitpoint-cloud then: give it Triton's address for gRPC. Rows of several requests are computed together
    only where a tail was seen to treat each row by itself.

    Example: splitpoint export triton resnet50 --cuts cut-04,cut-11 --out models
    """
    try:
        from partitioner.exports.triton_repository import TritonOptions, export_triton
    except ImportError as error:
        raise UsageError(
            f"exporting needs {error.name}. Install it with: pip install 'splitpoint[onnx]'."
        ) from error
    from partitioner.bundle.bundle import Bundle
    from partitioner.common.units import format_size
    from partitioner.reports.triton_export import export_json, export_table

    options = TritonOptions(
        cuts=split_cuts(cuts),
        codecs=split_cuts(codecs),
        backend=backend,
        ensembles=ensembles,
        model_version=model_version,
        max_batch_size=max_batch_size,
        threads=threads,
        replace=force,
    )
    loaded = Bundle.load(bundle)
    with progress() as bar:
        task = bar.add_task("exporting", total=None)

        def show(step: str, done: int, total: int) -> None:
            bar.update(task, description=f"exporting {step}", completed=done, total=total)

        made = export_triton(loaded, out, options, show)
    if as_json:
        print_json(export_json(made))
        return
    screen.print(export_table(made))
    for why in made.left_out.values():
        remark(f"Note: {why}")
    if loaded.ranges is None:
        remark(f"Note: q2 and q4 need a calibration: splitpoint calibrate {bundle} --data DIR.")
    size = format_size(made.size_bytes)
    remark(f"Next, where Triton is ({size} to copy): tritonserver --model-repository={out}")
    remark(
        f"Then on the device: splitpoint-edge run --cloud HOST:8001 --bundle {bundle} --cut auto …"
    )
