"""Classes: which outputs name one, which one is strongest, and which would be right."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from protos.errors import SourceError, UsageError, reason
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
        raise SourceError(
            f"labels {path} cannot be read: {reason(error)}. Give a CSV file with the header file,label."
        ) from error
    if not rows or not {"file", "label"} <= set(rows[0]):
        raise SourceError(f"labels {path} need the header file,label and a line for each frame.")
    if nameless := [row for row in rows if not row["file"]]:
        raise SourceError(
            f"labels {path}: the line with label {nameless[0]['label']!r} names no file. Give both."
        )
    found: dict[str, int] = {}
    for row in rows:
        name, label = Path(row["file"]).name, _class_index(row["label"] or "", classes, path)
        if found.setdefault(name, label) != label:
            raise SourceError(
                f"labels {path} give {name} two classes, {found[name]} and {label}. Keep the right one."
            )
    return found


def labels_of(
    names: Sequence[str], labels: Mapping[str, int], outputs: Sequence[TensorSpec]
) -> list[int]:
    """Return the label of each input, by its name.

    Raises SourceError when one has none, UsageError when the model names no class.
    """
    if len(outputs) != 1 or not is_classes(outputs[0]):
        shown = ", ".join(f"{spec.name} {spec}" for spec in outputs)
        raise UsageError(
            f"labels need a model with one output of classes, and this one has: {shown}. "
            "Leave out `labels`: the whole model is then what counts as right."
        )
    if missing := [name for name in names if name not in labels]:
        raise SourceError(
            f"{len(missing)} of {len(names)} inputs have no label: {', '.join(missing[:3])}, … "
            "Add them to the labels file, or leave out `labels`."
        )
    classes = outputs[0].shape[1]
    if wrong := [name for name in names if not 0 <= labels[name] < classes]:
        raise SourceError(
            f"{wrong[0]} is labelled {labels[wrong[0]]}, and the model knows the classes 0 to "
            f"{classes - 1}. Correct the labels file."
        )
    return [labels[name] for name in names]


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
