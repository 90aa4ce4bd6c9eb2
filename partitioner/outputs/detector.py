"""Detectors: recognised by the names and shapes of their outputs, whose boxes are read into one form.

Known are separate boxes, scores and classes (torchvision, TensorFlow's detection API, a NonMaxSuppression at
the end), and the one array of a YOLO export: [batch, anchors, 5 + classes] (v5 to v7: centre, size,
objectness, classes), [batch, 4 + classes, anchors] (v8 and later: centre, size, classes) and [batch, n, 6]
(end to end: corners, score, class).
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from partitioner.outputs.boxes import Floats, Places, corners_of, suppress
from protos.tensors import Array, TensorSpec

LEAST_SCORE = 0.25
MOST_OVERLAP = 0.45
"""The usual thresholds of YOLO's own tools, for exports that bring neither."""
_MOST_END_TO_END = 1_000
_STRIDES = (8, 16, 32, 64)
_NORMALISED = 1.5
"""Coordinates that are all smaller are shares of the image, not pixels of it."""


class Layout(Enum):
    """The forms of a detector's outputs."""

    SEPARATE = "boxes, scores and classes"
    YOLO_V5 = "[batch, anchors, 5 + classes]"
    YOLO_V8 = "[batch, 4 + classes, anchors]"
    END_TO_END = "[batch, n, 6]"


@dataclass(frozen=True)
class Detector:
    """How a model's outputs are read: their layout, and the names of the outputs with each part."""

    layout: Layout
    size: tuple[int, int]
    """Height and width of the model's input, in pixels."""
    boxes: str
    scale: tuple[float, float] = (1.0, 1.0)
    """From pixels of what the boxes are of to those of the input, across and down."""
    scores: str = ""
    classes: str = ""
    class_count: int = 0
    """In one array; 0 where classes have an output of their own, or there is only one."""
    labels: tuple[str, ...] = ()

    def read(self, outputs: Mapping[str, Array]) -> list[dict[str, Any]]:
        """Return what was found in the first sample, the strongest first.

        Each is `box` (x1, y1, x2, y2 in pixels of the input), `score`, `class` and, if it has one, `label`.
        """
        boxes, scores, classes = self._parts(outputs)
        boxes = self._in_pixels(boxes)
        able = np.flatnonzero(np.isfinite(boxes).all(axis=1) & (scores >= LEAST_SCORE))
        boxes, scores, classes = boxes[able], scores[able], classes[able]
        if self.layout is Layout.END_TO_END or (self.layout is Layout.SEPARATE and self.classes):
            order = np.argsort(-scores, kind="stable")
        else:
            order = suppress(boxes, scores, classes, MOST_OVERLAP)
        return [self._written(boxes[at], scores[at], int(classes[at])) for at in order]

    def _parts(self, outputs: Mapping[str, Array]) -> tuple[Floats, Floats, Places]:
        if self.layout is Layout.SEPARATE:
            return self._separate(outputs)
        rows = _sample(outputs[self.boxes], 2)
        if self.layout is Layout.END_TO_END:
            return rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64)
        first = 4 if self.layout is Layout.YOLO_V8 else 5
        rows = rows.T if self.layout is Layout.YOLO_V8 else rows
        each = rows[:, first : first + self.class_count]
        scores = each if self.layout is Layout.YOLO_V8 else each * rows[:, 4:5]
        return corners_of(rows[:, :4]), scores.max(axis=1), scores.argmax(axis=1)

    def _separate(self, outputs: Mapping[str, Array]) -> tuple[Floats, Floats, Places]:
        boxes = _sample(outputs[self.boxes], 2)
        if "detection_boxes" in self.boxes:  # TensorFlow: y1, x1, y2, x2
            boxes = boxes[:, [1, 0, 3, 2]]
        if self.class_count:
            each = _sample(outputs[self.scores], 2)
            return boxes, each.max(axis=1), each.argmax(axis=1)
        scores = _sample(outputs[self.scores], 1)
        classes = np.zeros(len(scores), np.int64)
        if self.classes:
            classes = _sample(outputs[self.classes], 1).astype(np.int64)
        return boxes, scores, classes

    def _in_pixels(self, boxes: Floats) -> Floats:
        across, down = self.scale
        if boxes.size and np.nanmax(np.abs(boxes)) <= _NORMALISED:
            down, across = self.size
        scaled: Floats = boxes * np.array([across, down, across, down])
        return scaled

    def _written(self, box: Floats, score: float, index: int) -> dict[str, Any]:
        label = {"label": self.labels[index]} if 0 <= index < len(self.labels) else {}
        corners = [round(float(corner), 2) for corner in box]
        return {"box": corners, "score": round(float(score), 6), "class": index, **label}


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
    return Detector(size=size, scale=scale, labels=tuple(labels), **found)


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
    """Find boxes [.., n, 4] beside scores [.., n] or [.., n, classes], and perhaps classes [.., n]."""
    boxes = [one for one in outputs if one.shape[-1:] == (4,) and one.dtype.startswith("float")]
    boxes = [one for one in boxes if len(one.shape) == 3 or one.shape[0] not in (-1, 1)]
    named = [one for one in boxes if re.search("box", one.name.lower())]
    if len(named or boxes) != 1 or len(outputs) < 2:
        return None
    (box,) = named or boxes
    rest = [
        one
        for one in outputs
        if one is not box and one.shape[: len(box.shape) - 1] == box.shape[:-1]
    ]
    flat = [one for one in rest if len(one.shape) == len(box.shape) - 1]
    deep = [
        one for one in rest if len(one.shape) == len(box.shape) and one.dtype.startswith("float")
    ]
    scores = [one for one in flat if re.search("score|conf|prob", one.name.lower())] or [
        one for one in flat if one.dtype.startswith("float")
    ]
    classes = [one for one in flat if one not in scores[:1]]
    if scores:
        parts = {"boxes": box.name, "scores": scores[0].name}
        return {"layout": Layout.SEPARATE, **parts, "classes": classes[0].name if classes else ""}
    if len(deep) == 1 and deep[0].shape[-1] > 0:
        parts = {"boxes": box.name, "scores": deep[0].name}
        return {"layout": Layout.SEPARATE, **parts, "class_count": deep[0].shape[-1]}
    return None


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
                masked = any(len(other.shape) == 4 for other in outputs)
                count = _class_count(width - own, labels, masked=masked)
                return {"layout": layout, "boxes": one.name, "class_count": count}
        if second == 6 and first <= _MOST_END_TO_END and len(outputs) == 1:
            return {"layout": Layout.END_TO_END, "boxes": one.name}
    return None


def _class_count(columns: int, labels: Sequence[str], *, masked: bool) -> int:
    """Return how many of the columns are classes: behind them lie what masks are mixed of, or key points."""
    behind = columns - len(labels)
    return len(labels) if labels and behind > 0 and (masked or behind % 3 == 0) else columns


def _is_said(
    layout: Layout, anchors: int, classes: int, labels: Sequence[str], size: tuple[int, int]
) -> bool:
    """Tell whether an array has the anchors of this layout on such an image, or the classes of the names."""
    each = 3 if layout is Layout.YOLO_V5 else 1
    cells = [math.prod(math.ceil(side / stride) for side in size) for stride in _STRIDES]
    return anchors in (each * sum(cells[:3]), each * sum(cells)) or classes == len(labels)


def _sample(array: Array, axes: int) -> Floats:
    """Return the first sample of an array with a batch axis, or the array of so many axes without one."""
    return np.asarray(array[0] if array.ndim > axes else array, np.float64)
