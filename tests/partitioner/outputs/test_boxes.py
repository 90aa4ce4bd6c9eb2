"""Non-maximum suppression, against OpenCV's."""

import cv2
import numpy as np

from partitioner.outputs.boxes import corners_of, suppress


def test_suppression_keeps_what_that_of_opencv_keeps() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        low = rng.uniform(0, 100, (60, 2))
        boxes = np.concatenate([low, low + rng.uniform(5, 60, (60, 2))], axis=1)
        scores = rng.uniform(0, 1, 60)
        sized = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
        wanted = cv2.dnn.NMSBoxes(sized.tolist(), scores.tolist(), 0.0, 0.45)
        found = suppress(boxes, scores, np.zeros(60, np.int64), 0.45)
        assert found.tolist() == np.array(wanted).ravel().tolist()


def test_boxes_of_other_classes_stay() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [1, 1, 10, 10]], np.float64)
    found = suppress(boxes, np.array([0.5, 0.9, 0.8]), np.array([0, 1, 1]), 0.45)
    assert found.tolist() == [1, 0]


def test_corners_lie_half_a_side_from_the_centre() -> None:
    assert corners_of(np.array([[10.0, 20.0, 4.0, 6.0]])).tolist() == [[8.0, 17.0, 12.0, 23.0]]
