"""Class names, given or found in the file."""

import pytest

from partitioner.importer.class_names import class_names
from protos.errors import ModelError
from protos.tensors import TensorSpec

IMAGE = (TensorSpec("images", "float32", (-1, 3, 64, 96)),)
YOLO = (TensorSpec("output0", "float32", (-1, 4 + 3, 96 + 24 + 6)),)
THREE = (TensorSpec("output", "float32", (-1, 3)),)
NAMES = ("person", "bicycle", "car")


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("names", "{0: 'person', 1: 'bicycle', 2: 'car'}"),
        ("id2label", '{"2": "car", "0": "person", "1": "bicycle"}'),
        ("classes", '["person", "bicycle", "car"]'),
    ],
)
@pytest.mark.parametrize("outputs", [YOLO, THREE])
def test_names_that_the_exporter_left_are_found(
    key: str, text: str, outputs: tuple[TensorSpec, ...]
) -> None:
    assert class_names((), {key: text}, IMAGE, outputs) == NAMES


@pytest.mark.parametrize(
    "text",
    ["", "person", "{0: 'a', 5: 'b', 6: 'c'}", "[1, 2, 3]", "['a', 'b']", "{'a': 'b'}", "(" * 500],
)
def test_metadata_that_are_no_names_of_these_classes_are_left_out(text: str) -> None:
    assert class_names((), {"names": text}, IMAGE, YOLO) == ()


def test_given_names_go_before_those_of_the_file_and_may_name_a_detectors_boxes() -> None:
    assert class_names(("a", "b", "c"), {"names": str(list(NAMES))}, IMAGE, YOLO) == ("a", "b", "c")


def test_given_names_that_no_output_has_are_refused() -> None:
    with pytest.raises(
        ModelError, match="has 2 labels, but no output has as many classes: output0"
    ):
        class_names(("a", "b"), {}, IMAGE, YOLO)
