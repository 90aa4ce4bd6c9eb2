"""Class names of a model: those that the caller gives, or that the exporter left in the file's metadata."""

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

from partitioner.common.units import plural
from partitioner.outputs.recognition import find_detector
from protos.errors import ModelError
from protos.tensors import TensorSpec

_KEYS = ("names", "class_names", "classes", "labels", "id2label")
"""Of the metadata, in which exporters put them; YOLO's writes `names`, as {0: 'person', 1: 'bicycle'}."""


def class_names(
    given: Sequence[str],
    metadata: Mapping[str, str],
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
) -> tuple[str, ...]:
    """Return the names of the model's classes, in order; none where nobody says any.

    Raises ModelError where no output has as many classes as there are `given` names. Those of the file are
    left out then.
    """
    if given:
        if not _fit(given, inputs, outputs):
            shown = ", ".join(f"{spec.name} {spec}" for spec in outputs)
            raise ModelError(
                f"the labels file has {plural(len(given), 'label')}, but no output has as many classes: "
                f"{shown}. Give one label a class, in order."
            )
        return tuple(given)
    named = (_named(metadata[key]) for key in _KEYS if key in metadata)
    return next((names for names in named if names and _fit(names, inputs, outputs)), ())


def _fit(names: Sequence[str], inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
    """Tell whether some output has as many classes, or is a detector's, whose boxes they may name."""
    if any(spec.shape[-1:] == (len(names),) for spec in outputs):
        return True
    detector = find_detector(inputs, outputs, names)
    return detector is not None and detector.class_count in (0, len(names))


def _named(text: str) -> tuple[str, ...]:
    """Return the names in a list, or a table by number, of JSON or Python; none where it is neither."""
    found = _literal(text)
    if isinstance(found, dict):
        try:
            numbered = {int(key): name for key, name in found.items()}
        except (TypeError, ValueError):
            return ()
        found = [numbered.get(number) for number in range(len(numbered))]
    if not isinstance(found, list | tuple) or not all(isinstance(name, str) for name in found):
        return ()
    return tuple(found)


def _literal(text: str) -> Any:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return None
