"""Classes: which outputs name one, which one is strongest, and which would be right."""

import csv
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath

from partitioner.common.units import plural
from protos.errors import SourceError, UsageError, reason
from protos.tensors import TensorSpec


def is_classes(spec: TensorSpec) -> bool:
    """Tell whether an output looks like scores of classes: floats [batch, classes]."""
    return len(spec.shape) == 2 and spec.shape[1] > 1 and spec.dtype.startswith("float")


def known_labels(
    path: Path | None,
    names: Sequence[str],
    classes: Sequence[str],
    outputs: Sequence[TensorSpec],
    say: Callable[[str], None],
) -> dict[str, int] | None:
    """Return the class index by input: from the CSV at `path`, else from sub-folders; None: not known.

    `say` hears it where sub-folders count, or why they do not. Raises SourceError.
    """
    if path is not None:
        labels = read_labels(path, classes)
        return labels | _by_bare_names(names, labels)
    if len(outputs) != 1 or not is_classes(outputs[0]):
        return None
    found = folder_labels(names, classes, say, most=outputs[0].shape[1])
    if found is not None:
        classes_seen = plural(len(set(found.values())), "class", "classes")
        say(f"the labels are the names of the sub-folders, of {classes_seen}")
    return found


def _by_bare_names(names: Sequence[str], labels: Mapping[str, int]) -> dict[str, int]:
    """Return the labels of inputs in sub-folders which the labels know without, if only one is called so."""
    bare = Counter(PurePath(name).name for name in names)
    found = {}
    for name in names:
        alone = PurePath(name).name
        if name not in labels and alone in labels and bare[alone] == 1:
            found[name] = labels[alone]
    return found


def read_labels(path: Path, classes: Sequence[str]) -> dict[str, int]:
    """Return the right class index by file name, from a CSV with the header `file,label`.

    A file `a/x.png` is found as such and as `x.png`, unless several are called so. A label is a name among
    `classes`, or an index. Raises SourceError.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
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
        name, label = row["file"], _class_index(row["label"] or "", classes, path)
        if found.setdefault(name, label) != label:
            raise SourceError(
                f"labels {path} give {name} two classes, {found[name]} and {label}. Keep the right one."
            )
    return _by_shorter_names(found) | found


def _by_shorter_names(labels: Mapping[str, int]) -> dict[str, int]:
    """Return the labels by every end of their paths that only files of one class have."""
    found: dict[str, set[int]] = {}
    for name, label in labels.items():
        parts = PurePath(name).parts
        for start in range(1, len(parts)):
            found.setdefault("/".join(parts[start:]), set()).add(label)
    return {name: only for name, (only, *others) in found.items() if not others}


def folder_labels(
    names: Sequence[str],
    classes: Sequence[str],
    say: Callable[[str], None] = lambda _: None,
    *,
    most: int | None = None,
) -> dict[str, int] | None:
    """Return the class index by name of images that lie in a sub-folder for each class: `cat/1.png`.

    A sub-folder is called like one of `classes`, or like an index below `most`. None where some input lies
    in none or in one of another name, such as a year, which `say` then hears.
    """
    folders = sorted({name.partition("/")[0] for name in names if "/" in name})
    if not folders:
        return None
    if loose := sorted(name for name in names if "/" not in name):
        say(
            "sub-folders count as classes only if every image lies in one: "
            f"{_first(loose)} {'lies' if len(loose) == 1 else 'lie'} in none"
        )
        return None
    index = {folder: _index_of(folder, classes) for folder in folders}
    if most is not None:
        index = {
            folder: at if at is not None and at < most else None for folder, at in index.items()
        }
    if unknown := [folder for folder in folders if index[folder] is None]:
        known = (
            f"the bundle's classes are {_first(classes)}"
            if classes
            else "it has no class names, and not as many classes"
        )
        say(
            f"sub-folders count as classes only if all are the bundle's: {_first(unknown)} is not, and "
            f"{known}"
        )
        return None
    return {name: label for name in names if (label := index[name.partition("/")[0]]) is not None}


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
            f"no label for {len(missing)} of {plural(len(names), 'input')}: {', '.join(missing[:3])}, … "
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
    if (index := _index_of(label, classes)) is not None:
        return index
    raise SourceError(
        f"labels {path}: {label!r} is no class of this model. Its classes are: {_first(classes)}; an index "
        "does as well."
    )


def _index_of(label: str, classes: Sequence[str]) -> int | None:
    if label in classes:
        return classes.index(label)
    return int(label) if label.isascii() and label.isdigit() else None


def _first(names: Sequence[str]) -> str:
    return f"{', '.join(names[:10]) or 'none'}{', …' if len(names) > 10 else ''}"
