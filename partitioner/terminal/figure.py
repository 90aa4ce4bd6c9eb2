"""The one place where pictures are begun and saved; matplotlib is loaded when one is drawn."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from partitioner.common.files import whole_file
from protos.errors import UsageError


@contextmanager
def figure_for(path: Path, width: float, height: float) -> Iterator[Any]:
    """Yield a figure and save it afterwards; UsageError without matplotlib, or if it cannot be saved."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(
            "plots need matplotlib. Install it with: pip install 'splitpoint[plot]'."
        ) from error
    figure = Figure(figsize=(width, height), dpi=140, layout="constrained")
    yield figure
    try:
        with whole_file(path, UsageError) as partial:
            kind = path.suffix.removeprefix(".").lower() or "png"
            figure.savefig(partial, format=kind)
            if kind == "png":
                _shrink(partial)
    except ValueError as error:
        raise UsageError(
            f"the plot {path} cannot be written: {error}. Give a file such as plan.png."
        ) from error


def _shrink(path: Path) -> None:
    """Keep 128 colours of a PNG: plots have few, and it takes a third of the bytes."""
    from PIL import Image

    with Image.open(path) as image:
        few = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    few.save(path, format="png", optimize=True)
