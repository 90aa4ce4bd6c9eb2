"""Detectors by their outputs: recognised, and read into boxes in pixels of the input."""

from collections.abc import Callable

import numpy as np
import pytest

from partitioner.outputs.detector import Detector, Layout
from partitioner.outputs.recognition import find_detector
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


# TensorFlow 2's detection API exports all of these, in this order.
TENSORFLOW = {
    "detection_anchor_indices": (10,),
    "detection_boxes": (10, 4),
    "detection_classes": (10,),
    "detection_multiclass_scores": (10, 3),
    "detection_scores": (10,),
    "num_detections": (),
    "raw_detection_boxes": (40, 4),
    "raw_detection_scores": (40, 3),
}


def test_boxes_of_tensorflow_2_are_told_from_what_they_were_made_of() -> None:
    outputs = [TensorSpec(name, "float32", (-1, *shape)) for name, shape in TENSORFLOW.items()]
    arrays = {name: np.zeros((1, *shape), np.float32) for name, shape in TENSORFLOW.items()}
    arrays["detection_anchor_indices"][0, 0] = 7
    arrays["detection_boxes"][0, 0] = [0.25, 0.125, 0.75, 0.5]
    arrays["detection_scores"][0, 0], arrays["detection_classes"][0, 0] = 0.5, 2
    read = found(outputs, LABELS).read(arrays)
    assert read == [{"box": [12.0, 16.0, 48.0, 48.0], "score": 0.5, "class": 2, "label": "car"}]


def test_softmax_over_classes_has_one_that_stands_for_nothing() -> None:
    outputs = [
        TensorSpec("scores", "float32", (-1, 40, 3)),
        TensorSpec("boxes", "float32", (-1, 40, 4)),
    ]
    boxes, scores = np.zeros((1, 40, 4), np.float32), np.zeros((1, 40, 3), np.float32)
    boxes[0, 7] = BOX
    for nothing, thing in ((0, 2), (2, 0)):
        scores[0] = 0
        scores[0, :, nothing] = 1
        scores[0, 7, nothing], scores[0, 7, thing] = 0.375, 0.625
        read = found(outputs).read({"boxes": boxes, "scores": scores})
        assert read == [{"box": BOX, "score": 0.625, "class": thing}]


def test_shares_of_the_image_stay_shares_beside_a_box_that_shows_nothing_and_is_huge() -> None:
    outputs = [
        TensorSpec("boxes", "float32", (-1, 40, 4)),
        TensorSpec("scores", "float32", (-1, 40, 3)),
    ]
    boxes, scores = np.zeros((1, 40, 4), np.float32), np.zeros((1, 40, 3), np.float32)
    boxes[0, 0], scores[0, 0, 1] = [0.125, 0.25, 0.5, 0.75], 0.5
    boxes[0, 1] = [-4, -4, 9, 9]
    (one,) = found(outputs).read({"boxes": boxes, "scores": scores}) or []
    assert one["box"] == [12.0, 16.0, 48.0, 48.0]


def test_coefficients_of_masks_are_no_classes_without_names_either() -> None:
    outputs = [TensorSpec("output0", "float32", (-1, 7 + 32, CELLS)),
               TensorSpec("output1", "float32", (-1, 32, 16, 24))]  # fmt: skip
    array = v8(7 + 32)
    array[0, 7:] = 0.9375
    read = found(outputs).read({"output0": array})
    assert read == [{"box": BOX, "score": 0.875, "class": 2}]


def logits_beside_boxes() -> tuple[list[TensorSpec], dict[str, Array]]:
    """As DETR is exported: the scores are logits, and boxes have centres."""
    outputs = [TensorSpec("logits", "float32", (-1, 20, 3)),
               TensorSpec("pred_boxes", "float32", (-1, 20, 4))]  # fmt: skip
    rng = np.random.default_rng(0)
    arrays = {"logits": 5 * rng.normal(size=(1, 20, 3)), "pred_boxes": rng.random((1, 20, 4))}
    return outputs, {name: array.astype(np.float32) for name, array in arrays.items()}


def table() -> tuple[list[TensorSpec], dict[str, Array]]:
    """Six numbers a row that are no boxes."""
    array = np.random.default_rng(0).normal(size=(1, 50, 6)).astype(np.float32)
    return [TensorSpec("output0", "float32", (-1, 50, 6))], {"output0": array}


def poses() -> tuple[list[TensorSpec], dict[str, Array]]:
    """YOLO's 17 key points behind one class that has no name here."""
    array = np.zeros((1, 4 + 1 + 51, CELLS), np.float32)
    array[0, :4, 5], array[0, 4, 5], array[0, 5:, 5] = [18, 32, 20, 30], 0.875, 40
    return [TensorSpec("output0", "float32", (-1, 56, CELLS))], {"output0": array}


def unordered() -> tuple[list[TensorSpec], dict[str, Array]]:
    """Corner and size instead of two corners."""
    outputs = [
        TensorSpec("boxes", "float32", (-2, 4), (3,)),
        TensorSpec("scores", "float32", (-2,), (3,)),
    ]
    arrays = {
        "boxes": np.array([[50, 40, 20, 10]], np.float32),
        "scores": np.array([0.5], np.float32),
    }
    return outputs, arrays


@pytest.mark.parametrize("case", [logits_beside_boxes, table, poses, unordered])
def test_values_that_cannot_be_scored_boxes_are_not_written_as_such(
    case: Callable[[], tuple[list[TensorSpec], dict[str, Array]]],
) -> None:
    outputs, arrays = case()
    assert found(outputs).read(arrays) is None


@pytest.mark.parametrize(
    "outputs",
    [
        [TensorSpec("turned", "float32", (-1, 4 + 3 + 1, CELLS))],  # an angle behind the classes
        [TensorSpec("yolox", "float32", (-1, CELLS, 5 + 3))],  # boxes relative to their cells
        [TensorSpec("out", "float32", (1, 10, 4)), TensorSpec("out:1", "float32", (1, 10)),
         TensorSpec("out:2", "float32", (1, 10))],  # which are the scores?
    ],
)  # fmt: skip
def test_outputs_that_would_be_misread_are_no_detectors(outputs: list[TensorSpec]) -> None:
    assert find_detector(IMAGE, outputs, LABELS) is None


def test_names_that_do_not_fit_the_classes_name_none() -> None:
    detector = found([TensorSpec("output0", "float32", (-1, 7, CELLS))], ("a", "b", "c", "d"))
    assert detector.read({"output0": v8(7)}) == [{"box": BOX, "score": 0.875, "class": 2}]


def test_half_floats_and_places_that_are_not_taken_are_read() -> None:
    array = np.full((1, 300, 6), -1, np.float16)
    array[0, 0] = [*BOX, 1, 1]
    read = found([TensorSpec("output0", "float16", (-1, 300, 6))]).read({"output0": array})
    assert read == [{"box": BOX, "score": 1.0, "class": 1}]
