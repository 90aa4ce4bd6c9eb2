"""Detectors: their boxes, of any layout, are read into one form.

Known are separate boxes, scores and classes (torchvision, TensorFlow's detection API, a NonMaxSuppression at
the end), and the one array of a YOLO export: [batch, anchors, 5 + classes] (v5 to v7: centre, size,
objectness, classes), [batch, 4 + classes, anchors] (v8 and later: centre, size, classes) and [batch, n, 6]
(end to end: corners, score, class).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from partitioner.outputs.boxes import Floats, Places, corners_of, suppress
from protos.tensors import Array

LEAST_SCORE = 0.25
MOST_OVERLAP = 0.45
"""The usual thresholds of YOLO's own tools, for exports that bring neither."""
_NORMALISED = 1.5
"""Boxes whose centres all lie below are shares of the image, not pixels of it."""
_ROUNDED = 0.01
"""So far from 0 and 1 may shares be, as float16 and quantised models give them."""

Reals: TypeAlias = npt.NDArray[Any]
"""Real numbers of the type that a model gives."""


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

    def read(self, outputs: Mapping[str, Array]) -> list[dict[str, Any]] | None:
        """Return what was found in the first sample, the strongest first.

        Each is `box` (x1, y1, x2, y2 in pixels of the input), `score`, `class` and, if it has one, `label`.
        None where the values cannot be boxes and scores: the outputs only look like those of a detector.
        """
        parts = self._parts(outputs)
        if parts is None:
            return None
        boxes, scores, classes = parts
        if self.layout is Layout.END_TO_END or (self.layout is Layout.SEPARATE and self.classes):
            order = np.argsort(-scores, kind="stable")
        else:
            order = suppress(boxes, scores, classes, MOST_OVERLAP)
        boxes = self._in_pixels(boxes)
        return [self._written(boxes[at], scores[at], int(classes[at])) for at in order]

    def _parts(self, outputs: Mapping[str, Array]) -> tuple[Floats, Floats, Places] | None:
        """Return corners, scores and classes of what is scored high enough; None if they cannot be these.

        Only that is converted: most of the thousands of anchors show nothing.
        """
        boxes, scores, classes = self._arrays(outputs)
        flat = classes.ndim == 1
        if not _are_shares(scores) or (flat and not _are_whole(classes)):
            return None
        able = np.flatnonzero(scores >= LEAST_SCORE)
        boxes, scores, classes = boxes[able].astype(np.float64), scores[able], classes[able]
        if self.layout is Layout.YOLO_V5:
            if not _are_shares(classes):
                return None
            scores = scores * classes.max(axis=1)
        if self.layout in (Layout.YOLO_V5, Layout.YOLO_V8):
            boxes = corners_of(boxes)
        able = np.flatnonzero(np.isfinite(boxes).all(axis=1) & (scores >= LEAST_SCORE))
        boxes, classes = boxes[able], classes[able]
        if (boxes[:, :2] > boxes[:, 2:]).any():
            return None
        numbers = classes if flat else classes.argmax(axis=1)
        return boxes, scores[able].astype(np.float64), numbers.astype(np.int64)

    def _arrays(self, outputs: Mapping[str, Array]) -> tuple[Reals, Reals, Reals]:
        """Return boxes [n, 4], scores [n], and classes [n] or the scores of each class [n, classes]."""
        if self.layout is Layout.SEPARATE:
            return self._separate(outputs)
        rows = _sample(outputs[self.boxes], 2)
        if self.layout is Layout.END_TO_END:
            return rows[:, :4], rows[:, 4], rows[:, 5]
        if self.layout is Layout.YOLO_V8:
            rows = rows.T
            each = rows[:, 4 : 4 + self.class_count]
            return rows[:, :4], each.max(axis=1), each
        return rows[:, :4], rows[:, 4], rows[:, 5 : 5 + self.class_count]

    def _separate(self, outputs: Mapping[str, Array]) -> tuple[Reals, Reals, Reals]:
        boxes = _sample(outputs[self.boxes], 2)
        if "detection_boxes" in self.boxes:  # TensorFlow: y1, x1, y2, x2
            boxes = boxes[:, [1, 0, 3, 2]]
        if self.class_count:
            each = _of_things(_sample(outputs[self.scores], 2))
            return boxes, each.max(axis=1), each
        scores = _sample(outputs[self.scores], 1)
        classes = _sample(outputs[self.classes], 1) if self.classes else np.zeros_like(scores)
        return boxes, scores, classes

    def _in_pixels(self, boxes: Floats) -> Floats:
        across, down = self.scale
        if boxes.size and (boxes[:, :2] + boxes[:, 2:]).max() / 2 <= _NORMALISED:
            down, across = self.size
        scaled: Floats = boxes * np.array([across, down, across, down])
        return scaled

    def _written(self, box: Floats, score: float, index: int) -> dict[str, Any]:
        label = {"label": self.labels[index]} if 0 <= index < len(self.labels) else {}
        corners = [round(float(corner), 2) for corner in box]
        return {"box": corners, "score": round(float(score), 6), "class": index, **label}


def _of_things(each: Reals) -> Reals:
    """Return scores [n, classes] without those of the class that stands for nothing.

    A softmax has one: the first (SSD) or the last (DETR), whichever most boxes are of.
    """
    if not each.size or not np.allclose(each.sum(axis=1), 1, atol=_ROUNDED):
        return each
    nothing = 0 if each[:, 0].sum() >= each[:, -1].sum() else -1
    each = each.copy()
    each[:, nothing] = 0
    return each


def _are_shares(scores: Reals) -> bool:
    """Tell whether all may be scores: from 0 to 1, or the -1 and NaN of places that are not taken."""
    able = (scores >= -_ROUNDED) & (scores <= 1 + _ROUNDED)
    return bool((able | (scores == -1) | np.isnan(scores)).all())


def _are_whole(classes: Reals) -> bool:
    return bool((classes == np.round(classes)).all())


def _sample(array: Array, axes: int) -> Reals:
    """Return the first sample of an array with a batch axis, or the array of so many axes without one."""
    return np.asarray(array[0] if array.ndim > axes else array)
