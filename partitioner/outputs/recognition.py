"""The recognition of detectors: by the names and shapes of what a model gives, and by its class names."""

import math
import re
from collections.abc import Sequence
from typing import Any

from partitioner.outputs.detector import Detector, Layout
from protos.tensors import TensorSpec

_MOST_END_TO_END = 1_000
_STRIDES = (8, 16, 32, 64)
_SCORES, _CLASSES = "score|conf|prob", "class|label|cls"


def find_detector(
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    labels: Sequence[str] = (),
    computed: tuple[int, int] | None = None,
) -> Detector | None:
    """Return how to read a model's outputs as boxes; None where nothing says that it is a detector.

    `computed`: height and width to which the graph itself resizes its input; None: as it comes.
    """
    size = _image_size(inputs)
    if size is None:
        return None
    height, width = computed or size
    scale = size[1] / width, size[0] / height
    found = _separate(outputs) or _one_array(outputs, labels, (height, width))
    if found is None:
        return None
    fit = found.get("class_count", 0) in (0, len(labels))
    return Detector(size=size, scale=scale, labels=tuple(labels) if fit else (), **found)


def _image_size(inputs: Sequence[TensorSpec]) -> tuple[int, int] | None:
    """Return height and width of the one input that is an image; None where there is none."""
    images = [spec.shape for spec in inputs if len(spec.shape) == 4]
    if len(images) != 1:
        return None
    _, first, second, third = images[0]
    if first in (1, 3):
        return second, third
    return (first, second) if third in (1, 3) else None


def _separate(outputs: Sequence[TensorSpec]) -> dict[str, Any] | None:
    """Find boxes [.., n, 4] beside scores [.., n] or [.., n, classes], and perhaps classes [.., n].

    Of several boxes those with classes beside them: TensorFlow exports what it made them of as well.
    """
    boxes = [one for one in outputs if one.shape[-1:] == (4,) and one.dtype.startswith("float")]
    boxes = [one for one in boxes if len(one.shape) == 3 or one.shape[0] not in (-1, 1)]
    named = [one for one in boxes if re.search("box", one.name.lower())]
    found = [parts for one in named or boxes if (parts := _beside(one, outputs))]
    chosen = [parts for parts in found if parts.get("classes")] or found
    return chosen[0] if len(chosen) == 1 else None


def _beside(box: TensorSpec, outputs: Sequence[TensorSpec]) -> dict[str, Any] | None:
    """Find the scores, and perhaps the classes, of one output of boxes; None where they are not certain."""
    axes = len(box.shape) - 1
    rest = [one for one in outputs if one is not box and one.shape[:axes] == box.shape[:-1]]
    flat = [one for one in rest if len(one.shape) == axes]
    parts = {"layout": Layout.SEPARATE, "boxes": box.name}
    if not flat:
        each = _only([one for one in rest if len(one.shape) == axes + 1], _SCORES)
        if each is None or each.shape[-1] < 1 or not each.dtype.startswith("float"):
            return None
        return parts | {"scores": each.name, "class_count": each.shape[-1]}
    scores = _only([one for one in flat if one.dtype.startswith("float")], _SCORES)
    others = [one for one in flat if one is not scores]
    classes = _only(others, _CLASSES)
    if scores is None or (others and classes is None):
        return None
    return parts | {"scores": scores.name, "classes": classes.name if classes else ""}


def _only(able: Sequence[TensorSpec], names: str) -> TensorSpec | None:
    """Return the only one that is called so, else the only one; None where that is not certain."""
    called = [one for one in able if re.search(names, one.name.lower())] or able
    return called[0] if len(called) == 1 else None


def _one_array(
    outputs: Sequence[TensorSpec], labels: Sequence[str], size: tuple[int, int]
) -> dict[str, Any] | None:
    """Find the array of a YOLO export: by its number of anchors, or by the number of class names."""
    for one in outputs:
        if len(one.shape) != 3 or one.shape[0] not in (-1, 1) or not one.dtype.startswith("float"):
            continue
        _, first, second = one.shape
        for layout, anchors, width, own in (
            (Layout.YOLO_V8, second, first, 4),
            (Layout.YOLO_V5, first, second, 5),
        ):
            if anchors > width > own and _is_said(layout, anchors, width - own, labels, size):
                count = _class_count(width - own, labels, _mask_count(outputs))
                if count is None:
                    return None
                return {"layout": layout, "boxes": one.name, "class_count": count}
        if second == 6 and first <= _MOST_END_TO_END and len(outputs) == 1:
            return {"layout": Layout.END_TO_END, "boxes": one.name}
    return None


def _mask_count(outputs: Sequence[TensorSpec]) -> int:
    """Return of how many parts [batch, parts, height, width] masks are mixed; 0 where there are none."""
    return next((other.shape[1] for other in outputs if len(other.shape) == 4), 0)


def _class_count(columns: int, labels: Sequence[str], masks: int) -> int | None:
    """Return how many of the columns are classes; None where one that is none is left over.

    Behind the classes lie how masks are mixed, key points (three columns each), or the angle of boxes that
    are turned, which have no corners here.
    """
    columns -= masks
    if not labels or columns <= len(labels):
        return columns if columns > 0 else None
    return len(labels) if (columns - len(labels)) % 3 == 0 else None


def _is_said(
    layout: Layout, anchors: int, classes: int, labels: Sequence[str], size: tuple[int, int]
) -> bool:
    """Tell whether an array has the anchors of this layout on such an image, or the classes of the names.

    One anchor a cell beside an objectness is YOLOX, whose boxes are relative to their cells.
    """
    cells = [math.prod(math.ceil(side / stride) for side in size) for stride in _STRIDES]
    one_a_cell = (sum(cells[:3]), sum(cells))
    if layout is Layout.YOLO_V8:
        return anchors in one_a_cell or classes == len(labels)
    if anchors in one_a_cell:
        return False
    return anchors in [3 * cells for cells in one_a_cell] or classes == len(labels)
