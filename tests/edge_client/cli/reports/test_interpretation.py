"""Outputs as plain data."""

import json
from itertools import pairwise
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from edge_client.cli.reports.interpretation import SMALL, Interpretation, plain_outputs
from partitioner.bundle.bundle import Bundle
from partitioner.graph.graph import Graph, Node
from protos.tensors import TensorSpec


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


@pytest.mark.parametrize(
    ("operators", "is_classifier"),
    [
        (["Gemm", "Softmax"], True),
        (["Gemm", "Softmax", "Cast"], True),
        (["Softmax", "Gemm", "Identity"], False),
        (["Gemm"], False),
    ],
)
def test_softmax_says_it_behind_what_hands_its_numbers_on(
    operators: list[str], is_classifier: bool
) -> None:
    values = ["x", *(f"v{place}" for place in range(len(operators)))]
    nodes = tuple(
        Node(operator, operator, (before,), (after,), 0)
        for operator, (before, after) in zip(operators, pairwise(values), strict=True)
    )
    spec = TensorSpec(values[-1], "float32", (-1, 10))
    bundle = SimpleNamespace(
        manifest=SimpleNamespace(labels=(), preprocess=None), inputs=(), outputs=(spec,), exits=None,
        heads_only=False, graph=Graph(nodes, ("x",), (values[-1],), {}),
    )  # fmt: skip
    outputs = {spec.name: np.eye(10, dtype=np.float32)[3:4]}
    found = Interpretation(cast(Bundle, bundle)).top1(outputs)
    assert (found is not None) == is_classifier
