"""Labels of files."""

from pathlib import Path

import pytest

from partitioner.inputs.labels import folder_labels, known_labels, read_labels
from protos.errors import SourceError
from protos.tensors import TensorSpec


def test_labels_are_names_or_indices(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("label,file\ncat,a/x.png\n2,y.png\n")
    assert read_labels(path, ["dog", "cat"]) == {"a/x.png": 1, "x.png": 1, "y.png": 2}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("file,label\n", "need the header"),
        ("label,file\n3\n", "the line with label '3' names no file"),
        ("file,label\n,3\n", "names no file"),
        ("file,label\nx.png\n", "'' is no class"),
        ("file,label\nx.png,cow\n", "'cow' is no class"),
        ("file,label\nx.png,1\nx.png,2\n", "give x.png two classes, 1 and 2. Keep the right one"),
        ("file,label\nx.png,²\n", "'²' is no class"),
    ],
)
def test_bad_labels_are_refused(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(SourceError) as caught:
        read_labels(path, ["dog", "cat"])
    assert sentence in str(caught.value)


def test_labels_that_cannot_be_read_say_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match="No such file or directory. Give a CSV file with the header"
    ):
        read_labels(tmp_path / "none.csv", ["dog", "cat"])
    (tmp_path / "image.csv").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(SourceError, match="invalid start byte. Give a CSV file"):
        read_labels(tmp_path / "image.csv", ["dog", "cat"])


def test_line_that_repeats_itself_is_no_contradiction(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("file,label\nx.png,1\nx.png,cat\n")
    assert read_labels(path, ["dog", "cat"]) == {"x.png": 1}


SCORES = (TensorSpec("y", "float32", (-1, 3)),)


def test_files_of_one_name_in_several_folders_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(
        "file,label\nphotos/cat/1.png,cat\nphotos/dog/1.png,dog\nphotos/dog/2.png,dog\n"
    )
    found = read_labels(path, ["dog", "cat"])
    assert (found["cat/1.png"], found["dog/1.png"], found["2.png"]) == (1, 0, 0)
    assert "1.png" not in found


def test_labels_without_folders_are_of_the_only_image_called_so(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("file,label\n1.png,1\n2.png,2\n")
    found = known_labels(path, ["a/1.png", "b/1.png", "b/2.png"], [], SCORES, pytest.fail)
    assert found == {"1.png": 1, "2.png": 2, "b/2.png": 2}


@pytest.mark.parametrize("classes", [["dog", "cat"], []])
def test_sub_folders_are_labels_where_all_are_classes(classes: list[str]) -> None:
    one, two = ("dog", "cat") if classes else ("0", "1")
    names = [f"{one}/1.png", f"{two}/deep/1.png"]
    said: list[str] = []
    assert known_labels(None, names, classes, SCORES, said.append) == {names[0]: 0, names[1]: 1}
    assert said == ["the labels are the names of the sub-folders, of 2 classes"]


@pytest.mark.parametrize("name", ["cow/1.png", "1.png"])
def test_sub_folders_that_are_no_classes_are_no_labels_and_that_is_said(name: str) -> None:
    said: list[str] = []
    assert folder_labels(["cat/1.png", name], ["dog", "cat"], said.append) is None
    assert len(said) == 1
    assert ("cow" in said[0]) == (name == "cow/1.png")


def test_folder_called_like_a_number_that_is_no_class_is_no_label_and_that_is_said() -> None:
    said: list[str] = []
    years = ["2019/1.png", "2020/1.png"]
    assert known_labels(None, years, [], SCORES, said.append) is None
    assert len(said) == 1
    assert "2019, 2020 is not" in said[0]


def test_images_without_sub_folders_or_for_no_classifier_have_no_labels() -> None:
    assert known_labels(None, ["1.png", "2.png"], ["a"], SCORES, pytest.fail) is None
    boxes = (TensorSpec("boxes", "float32", (-1, 10, 4)),)
    assert known_labels(None, ["a/1.png"], ["a"], boxes, pytest.fail) is None


def test_images_beside_the_sub_folders_are_named_as_why_these_are_no_labels() -> None:
    said: list[str] = []
    names = ["dog/1.png", "cat/1.png", "stray.png"]
    assert folder_labels(names, ["dog", "cat"], said.append) is None
    assert said == [
        "sub-folders count as classes only if every image lies in one: stray.png lies in none"
    ]
