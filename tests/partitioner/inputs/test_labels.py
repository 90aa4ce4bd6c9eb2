"""Labels of files."""

from pathlib import Path

import pytest

from partitioner.inputs.labels import read_labels
from protos.errors import SourceError


def test_labels_are_names_or_indices(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("label,file\ncat,a/x.png\n2,y.png\n")
    assert read_labels(path, ["dog", "cat"]) == {"x.png": 1, "y.png": 2}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("file,label\n", "need the header"),
        ("label,file\n3\n", "the line with label '3' names no file"),
        ("file,label\n,3\n", "names no file"),
        ("file,label\nx.png\n", "'' is no class"),
        ("file,label\nx.png,cow\n", "'cow' is no class"),
        ("file,label\nx.png,1\na/x.png,2\n", "give x.png two classes, 1 and 2. Keep the right one"),
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
