"""Folders of images: sub-folders too, in order, and what is left out is said."""

from pathlib import Path

import pytest

from partitioner.inputs.image_folder import read_folder
from protos.errors import SourceError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_images_of_every_kind_in_every_sub_folder_are_found_in_order(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.TIF", "b/1.gif", "a/deep/x.jpeg", "z.png", "c.pgm", "labels.csv")
    found = read_folder(tmp_path)
    assert [image.name for image in found.images] == [
        "a/deep/x.jpeg", "b/1.gif", "b/2.TIF", "c.pgm", "z.png",
    ]  # fmt: skip
    assert found.images[0].path == tmp_path / "a" / "deep" / "x.jpeg"
    assert found.remark() == ""


def test_what_is_left_out_is_counted_by_its_cause(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "a.png",
        "b.heic",
        "sub/c.heic",
        "README",
        ".DS_Store",
        "sub/._c.png",
        ".git/x.png",
    )
    assert read_folder(tmp_path).remark() == (
        f"{tmp_path}: 5 files left out, not read as images (2 .heic, 2 hidden, 1 without suffix)"
    )


def test_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    touch(tmp_path, "a.heic")
    with pytest.raises(SourceError, match=r"holds no images \(.*1 file left out.*1 \.heic"):
        read_folder(tmp_path)


def test_links_to_folders_are_followed_but_not_in_a_circle(tmp_path: Path) -> None:
    touch(tmp_path, "real/a.png", "data/b.png")
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "data" / "circle").symlink_to(tmp_path / "data")
    names = [image.name for image in read_folder(tmp_path / "data").images]
    assert names == ["b.png", "linked/a.png"]
