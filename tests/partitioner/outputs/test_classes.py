"""Which outputs are scores of classes: the shape alone is not enough."""

import numpy as np
import pytest

from partitioner.outputs.classes import class_outputs, top1
from protos.tensors import TensorSpec

TEN = TensorSpec("output", "float32", (-1, 10))


def test_regression_of_the_same_shape_is_no_classifier() -> None:
    assert class_outputs([TEN]) == ()
    assert class_outputs([TEN], made_by={"output": "Gemm"}) == ()
    assert class_outputs([TensorSpec("pose", "float32", (-1, 6))], labels=["a"] * 10) == ()


@pytest.mark.parametrize(
    "name",
    [
        "logits",
        "probs",
        "class_probs",
        "probabilities",
        "model.classes",
        "prob",
        "a/Softmax:0",
        "cls_score",
        "logits.1",
    ],
)
def test_name_that_speaks_of_classes_says_it(name: str) -> None:
    assert class_outputs([TensorSpec(name, "float32", (-1, 10))]) == (name,)


@pytest.mark.parametrize(
    "name",
    [
        "problem",
        "classic",
        "embedding",
        "output",
        "cls_token",
        "class_embedding",
        "prob_map_features",
    ],
)
def test_name_that_only_begins_so_does_not(name: str) -> None:
    assert class_outputs([TensorSpec(name, "float32", (-1, 10))]) == ()


def test_class_names_a_softmax_or_frames_with_known_classes_say_it() -> None:
    assert class_outputs([TEN], labels=["x"] * 10) == ("output",)
    assert class_outputs([TEN], made_by={"output": "Softmax"}) == ("output",)
    assert class_outputs([TEN], labelled=True) == ("output",)
    two = [TEN, TensorSpec("other", "float32", (-1, 3))]
    assert class_outputs(two, labelled=True) == ()  # which of them?


def test_integers_and_other_shapes_never_are() -> None:
    specs = [TensorSpec("logits", "int64", (-1, 10)), TensorSpec("logits", "float32", (-1, 1)),
             TensorSpec("logits", "float32", (-1, 5, 10))]  # fmt: skip
    assert class_outputs(specs, labelled=True) == ()


def test_strongest_class_has_its_name_and_its_own_value() -> None:
    scores = np.array([[0.25, 0.5, 0.125]], np.float32)
    assert top1({"s": scores}, ["s"], ["a", "b", "c"]) == {"index": 1, "label": "b", "score": 0.5}
    assert top1({"s": scores}, [], ["a", "b", "c"]) is None
    assert top1({}, ["s"], ()) is None


def test_score_that_is_no_number_names_no_class_and_an_infinite_one_does() -> None:
    scores = np.array([[0.1, np.nan, 0.9]], np.float32)
    assert top1({"s": scores}, ["s"], ["a", "b", "c"]) is None
    assert top1({"s": scores, "t": np.eye(2)[:1]}, ["s", "t"], ()) == {
        "s": None,
        "t": {"index": 0, "score": 1.0},
    }
    endless = np.array([[0.0, np.inf]], np.float32)
    assert top1({"s": endless}, ["s"], ()) == {"index": 1, "score": None}
