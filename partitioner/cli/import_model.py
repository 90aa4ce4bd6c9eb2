"""`splitpoint import`."""

from pathlib import Path
from typing import Annotated

import typer

from partitioner.cli.flags.arguments import Force
from partitioner.common.defaults import MAX_CUTS
from partitioner.settings.panels import CHOICE, DATA, MODEL, OUTPUT
from partitioner.terminal.console import JsonFlag, print_json, remark, screen, working
from partitioner.terminal.flags import flag
from protos.errors import FileError, ModelError, UsageError, reason

Source = Annotated[
    str,
    typer.Argument(
        help="model.onnx, package.module:factory or file.py:factory.",
        metavar="MODEL",
        show_default=False,
    ),
]
Inputs = Annotated[
    list[str] | None,
    flag(
        "Its shape (for integers NAME=1x128:int64); once an input.",
        "NAME=1x3x224x224",
        "--input",
        panel=MODEL,
    ),
]
Preprocess = Annotated[
    str | None,
    flag(
        "Take uint8 images and normalise in the graph: imagenet, unit, raw, or numbers as "
        "mean=0.5:0.5:0.5,std=0.2:0.2:0.2,scale=0.00392,layout=nchw.",
        "NUMBERS",
        panel=MODEL,
        choices=lambda: ("imagenet", "unit", "raw"),
    ),
]
FrameSize = Annotated[
    str | None,
    flag(
        "Height x width of the images, as 480x640.",
        "HxW",
        panel=MODEL,
        default="the model's own",
    ),
]
White = Annotated[
    int | None,
    flag(
        "What is white in images of more than 8 bits, as 4095 of a camera of 12 bits.",
        "NUMBER",
        panel=MODEL,
        default="65535, and 1 of floats",
        min=1,
    ),
]
Labels = Annotated[
    Path | None,
    flag("Class names, one a line.", "FILE.txt", panel=DATA, default="those in the file"),
]
Samples = Annotated[
    Path | None,
    flag(
        "A few inputs to keep in the bundle: a folder of images, .npy or .npz.",
        "INPUTS",
        panel=DATA,
    ),
]


def import_command(
    source: Source,
    out: Annotated[Path, flag("The folder to make.", "BUNDLE", panel=OUTPUT)],
    input_: Inputs = None,
    preprocess: Preprocess = None,
    frame: FrameSize = None,
    white: White = None,
    labels: Labels = None,
    samples: Samples = None,
    name: Annotated[
        str | None,
        flag("Name on the server.", "NAME", panel=OUTPUT, default="that of the folder"),
    ] = None,
    max_cuts: Annotated[
        int, flag("Keep at most this many interior cuts.", "N", panel=CHOICE, min=1)
    ] = MAX_CUTS,
    force: Force = False,
    as_json: JsonFlag = False,
) -> None:
    """Make a bundle: the model, cut at every place that is worth it.

    Example: splitpoint import resnet50.onnx --out resnet50 --preprocess imagenet
    """
    try:
        from partitioner.importer.importer import ImportOptions, import_model
    except ImportError as error:
        raise UsageError(
            f"importing needs {error.name}. Install it with: pip install 'splitpoint[onnx]'."
        ) from error
    from partitioner.reports.bundle import bundle_json, bundle_table

    shapes, dtypes = _parse_inputs(input_ or [])
    options = ImportOptions(
        name=name,
        input_shapes=shapes,
        input_dtypes=dtypes,
        preprocess=preprocess,
        frame=frame,
        white=white,
        labels=_read_labels(labels) if labels else (),
        samples=samples,
        max_cuts=max_cuts,
        replace=force,
    )
    remarks: list[str] = []
    with working("importing") as show:
        bundle = import_model(source, out, options, on_step=show, on_remark=remarks.append)
    for text in remarks:
        remark(f"Note: {text}")
    if as_json:
        print_json(bundle_json(bundle))
        return
    screen.print(bundle_table(bundle))
    remark(f"Next: splitpoint verify {out}, then splitpoint profile {out}.")


def _parse_inputs(texts: list[str]) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    from partitioner.common.units import parse_shape
    from protos.tensors import is_carried

    shapes, dtypes = {}, {}
    for text in texts:
        name, _, rest = text.partition("=")
        shape, _, dtype = rest.partition(":")
        if not name or not shape:
            raise UsageError(f"--input {text!r} is not understood. Write NAME=1x3x224x224.")
        if dtype and not is_carried(dtype):
            raise UsageError(
                f"--input {text!r}: there is no data type {dtype!r}. Write int64, say."
            )
        if name in shapes:
            raise UsageError(f"--input gives {name!r} twice. Give it once.")
        shapes[name] = parse_shape(shape, least=0)  # a cache may start empty
        if dtype:
            dtypes[name] = dtype
    return shapes, dtypes


def _read_labels(path: Path) -> tuple[str, ...]:
    try:
        labels = tuple(line.strip() for line in path.read_text().splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(
            f"labels {path} cannot be read: {reason(error)}. Give a text file, one label a line."
        ) from error
    if not labels:
        raise ModelError(f"labels {path} is empty. Give one class name a line.")
    return labels
