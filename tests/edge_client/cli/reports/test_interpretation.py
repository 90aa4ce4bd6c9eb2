"""Outputs as plain data."""

import json

import numpy as np

from edge_client.cli.reports.interpretation import SMALL, Interpretation, plain_outputs
from partitioner.bundle.bundle import Bundle


def test_small_outputs_have_their_values_and_large_ones_their_shape() -> None:
    found = plain_outputs({
        "small": np.array([[0.1, np.nan], [np.inf, -2]], np.float32),
        "ids": np.array([3], np.int64),
        "large": np.zeros((1, SMALL + 1), np.float16),
    })  # fmt: skip
    assert json.loads(json.dumps(found, allow_nan=False)) == {
        "small": {"dtype": "float32", "shape": [2, 2], "values": [[0.1, None], [None, -2.0]]},
        "ids": {"dtype": "int64", "shape": [1], "values": [3]},
        "large": {"dtype": "float16", "shape": [1, SMALL + 1]},
    }


def test_values_are_exactly_those_of_the_output() -> None:
    values = np.random.default_rng(0).normal(size=(2, 50)).astype(np.float32)
    written = json.loads(json.dumps(plain_outputs({"x": values})))["x"]["values"]
    np.testing.assert_array_equal(np.array(written, np.float32), values)


def test_bundle_with_class_names_is_a_classifier_and_one_that_says_nothing_is_not(
    image_bundle: Bundle, residual_bundle: Bundle
) -> None:
    (spec,) = image_bundle.outputs
    outputs = {spec.name: np.eye(10, dtype=np.float32)[3:4]}
    told = Interpretation(image_bundle)
    assert told.top1(outputs) == {"index": 3, "label": "class-3", "score": 1.0}
    assert told.detections(outputs) is None
    (spec,) = residual_bundle.outputs
    outputs = {spec.name: np.eye(10, dtype=np.float32)[3:4]}
    assert Interpretation(residual_bundle).top1(outputs) is None
    labelled = Interpretation(residual_bundle, labelled=True).top1(outputs)
    assert labelled == {"index": 3, "score": 1.0}
