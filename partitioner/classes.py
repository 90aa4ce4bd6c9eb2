"""Classes: which outputs name one, which one is strongest, and which would be right."""

import csv
from collections.abc import Sequence
from pathlib import Path

from protos.errors import SourceError
from protos.tensors import TensorSpec


def is_classes(spec: TensorSpec) -> bool:
    """Tell whether an output looks like scores of classes: floats [batch, classes]."""
    return len(spec.shape) == 2 and spec.shape[1] > 1 and spec.dtype.startswith("float")


def read_labels(path: Path, classes: Sequence[str]) -> dict[str, int]:
    """Return the right class index by file name, from a CSV with the header `file,label`.

    A label is a name among `classes`, or an index. Raises SourceError.
    """
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise SourceError(f"labels {path} cannot be read: {error}.") from error
    if not rows or not {"file", "label"} <= set(rows[0]):
        raise SourceError(f"labels {path} need the header file,label and a line for each frame.")
    return {Path(row["file"]).name: _class_index(row["label"] or "", classes, path) for row in rows}


def _class_index(label: str, classes: Sequence[str], path: Path) -> int:
    if label in classes:
        return classes.index(label)
    if label.isascii() and label.isdigit():
        return int(label)
    known = ", ".join(classes[:10]) or "none"
    raise SourceError(
        f"labels {path}: {label!r} is no class of this model. Its classes are: {known}"
        f"{', …' if len(classes) > 10 else ''}; an index does as well."
    )
