"""Detectors by their outputs: recognised, and read into boxes in pixels of the input."""

import numpy as np
import pytest

from partitioner.outputs.detector import Detector, Layout, find_detector
from protos.tensors import Array, TensorSpec

IMAGE = (TensorSpec("images", "float32", (-1, 3, 64, 96)),)
HEIGHT, WIDTH = 64, 96
CELLS = 8 * 12 + 4 * 6 + 2 * 3  # strides 8, 16 and 32
LABELS = ("person", "bicycle", "car")
BOX = [8.0, 17.0, 28.0, 47.0]  # centre 18, 32; 20 wide, 30 high


def found(outputs: list[TensorSpec], labels: tuple[str, ...] = ()) -> Detector:
    detector = find_detector(IMAGE, outputs, labels)
    assert detector is not None
    return detector


def v8(width: int) -> Array:
    """Two anchors on the same thing, the second weaker; all others nothing."""
    array = np.zeros((1, width, CELLS), np.float32)
    array[0, :4, 5] = array[0, :4, 6] = [18, 32, 20, 30]
    array[0, 4 + 2, 5], array[0, 4 + 2, 6] = 0.875, 0.5
    return array


@pytest.mark.parametrize("labels", [LABELS, ()])
def test_yolo_v8_is_known_by_its_anchors_and_read_with_suppression(labels: tuple[str, ...]) -> None:
    detector = found([TensorSpec("output0", "float32", (-1, 7, CELLS))], labels)
    assert detector.layout is Layout.YOLO_V8
    label = {"label": "car"} if labels else {}
    assert detector.read({"output0": v8(7)}) == [{"box": BOX, "score": 0.875, "class": 2, **label}]


def test_coefficients_of_masks_behind_the_classes_are_no_classes() -> None:
    outputs = [TensorSpec("output0", "float32", (-1, 7 + 32, CELLS)),
               TensorSpec("output1", "float32", (-1, 32, 16, 24))]  # fmt: skip
    array = v8(7 + 32)
    array[0, 7:] = 9.0
    (one,) = found(outputs, LABELS).read({"output0": array})
    assert (one["class"], one["label"]) == (2, "car")


def test_yolo_v5_has_three_anchors_a_cell_and_an_objectness() -> None:
    detector = found([TensorSpec("output0", "float32", (1, 3 * CELLS, 8))])
    assert detector.layout is Layout.YOLO_V5
    array = np.zeros((1, 3 * CELLS, 8), np.float32)
    array[0, 9] = [18, 32, 20, 30, 0.5, 0.125, 1.0, 0.25]
    # 0.5 for a thing, times 1.0 for its second class
    assert detector.read({"output0": array}) == [{"box": BOX, "score": 0.5, "class": 1}]


def test_end_to_end_export_is_read_as_it_is() -> None:
    detector = found([TensorSpec("output0", "float32", (-1, 300, 6))], LABELS)
    assert detector.layout is Layout.END_TO_END
    array = np.zeros((1, 300, 6), np.float32)
    array[0, 0] = [*BOX, 0.75, 1]
    array[0, 1] = [*BOX, 0.5, 1]  # the export has suppressed what it wanted to
    assert [one["score"] for one in detector.read({"output0": array})] == [0.75, 0.5]
    assert detector.read({"output0": array})[0]["label"] == "bicycle"


def test_boxes_labels_and_scores_of_torchvision_are_sized_by_the_data() -> None:
    outputs = [TensorSpec("boxes", "float32", (-2, 4), (3,)), TensorSpec("labels", "int64", (-2,), (3,)),
               TensorSpec("scores", "float32", (-2,), (3,))]  # fmt: skip
    detector = found(outputs, LABELS)
    none = {"boxes": np.zeros((0, 4), np.float32), "labels": np.zeros(0, np.int64),
            "scores": np.zeros(0, np.float32)}  # fmt: skip
    assert detector.read(none) == []
    some = {"boxes": np.array([BOX, BOX], np.float32), "labels": np.array([1, 2]),
            "scores": np.array([0.5, 0.125], np.float32)}  # fmt: skip
    assert detector.read(some) == [{"box": BOX, "score": 0.5, "class": 1, "label": "bicycle"}]


def test_boxes_of_tensorflow_are_shares_with_the_row_first() -> None:
    outputs = [TensorSpec("detection_boxes", "float32", (-1, 10, 4)),
               TensorSpec("detection_classes", "float32", (-1, 10)),
               TensorSpec("detection_scores", "float32", (-1, 10)),
               TensorSpec("num_detections", "float32", (-1,))]  # fmt: skip
    boxes, scores = np.zeros((1, 10, 4), np.float32), np.zeros((1, 10), np.float32)
    boxes[0, 0], scores[0, 0] = [0.25, 0.125, 0.75, 0.5], 0.5
    read = found(outputs).read(
        {"detection_boxes": boxes, "detection_scores": scores,
         "detection_classes": np.ones((1, 10), np.float32), "num_detections": np.ones(1, np.float32)}
    )  # fmt: skip
    # x of 96: 12 to 48; y of 64: 16 to 48
    assert read == [{"box": [12.0, 16.0, 48.0, 48.0], "score": 0.5, "class": 1}]


def test_scores_for_every_class_beside_the_boxes_are_suppressed() -> None:
    outputs = [
        TensorSpec("boxes", "float32", (-1, 40, 4)),
        TensorSpec("scores", "float32", (-1, 40, 3)),
    ]
    boxes, scores = np.zeros((1, 40, 4), np.float32), np.zeros((1, 40, 3), np.float32)
    boxes[0, :2] = BOX
    scores[0, :2, 0] = 0.5, 0.875
    read = found(outputs, LABELS).read({"boxes": boxes, "scores": scores})
    assert read == [{"box": BOX, "score": 0.875, "class": 0, "label": "person"}]


def test_boxes_are_in_pixels_of_the_frame_that_the_graph_itself_resizes() -> None:
    inputs = (TensorSpec("images", "uint8", (-1, 128, 96, 3)),)
    detector = find_detector(inputs, [TensorSpec("o", "float32", (-1, 7, CELLS))], (), (64, 96))
    assert detector is not None
    (one,) = detector.read({"o": v8(7)})
    assert one["box"] == [8.0, 34.0, 28.0, 94.0]  # twice as high


@pytest.mark.parametrize(
    "outputs",
    [
        [TensorSpec("hidden", "float32", (-1, 128, 384))],
        [TensorSpec("logits", "float32", (-1, 10))],
        [TensorSpec("box", "float32", (-1, 4)), TensorSpec("score", "float32", (-1,))],
        [TensorSpec("mask", "float32", (-1, 21, 64, 96))],
    ],
)
def test_other_outputs_are_no_detectors(outputs: list[TensorSpec]) -> None:
    assert find_detector(IMAGE, outputs, LABELS) is None


def test_model_without_an_image_is_no_detector() -> None:
    outputs = [
        TensorSpec("boxes", "float32", (-1, 40, 4)),
        TensorSpec("scores", "float32", (-1, 40)),
    ]
    assert find_detector([TensorSpec("x", "float32", (-1, 16))], outputs) is None
