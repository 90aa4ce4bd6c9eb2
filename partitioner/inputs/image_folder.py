"""The images in a folder and its sub-folders, in the order of their names, and what is left out."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from partitioner.common.units import plural
from partitioner.inputs.images import IMAGE_SUFFIXES
from protos.errors import SourceError

_LABELS = ".csv"
"""The labels of images lie beside them, and are none."""


@dataclass(frozen=True)
class ImageFile:
    """An image, and the name that labels call it by: its path within the folder, as `cat/1.png`."""

    path: Path
    name: str


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder, and how many files it has besides, by why they are left out."""

    path: Path
    images: tuple[ImageFile, ...]
    left_out: Counter[str]

    def remark(self) -> str:
        """Say what is left out; empty when that is nothing."""
        if not self.left_out:
            return ""
        why = ", ".join(f"{count} {kind}" for kind, count in sorted(self.left_out.items()))
        total = plural(self.left_out.total(), "file")
        return f"{self.path}: {total} left out, not read as images ({why})"


def read_folder(folder: Path) -> ImageFolder:
    """Return what is in a folder; SourceError when it cannot be listed or holds no images."""
    images: list[ImageFile] = []
    left_out: Counter[str] = Counter()
    try:
        for path in _files_in(folder, set()):
            if why := _why_not(path):
                left_out[why] += 1
            elif path.suffix.lower() in IMAGE_SUFFIXES:
                images.append(ImageFile(path, path.relative_to(folder).as_posix()))
    except OSError as error:
        raise SourceError(
            f"{error.filename or folder} cannot be listed: {error.strerror}. Give a folder that may be read."
        ) from error
    found = ImageFolder(folder, tuple(sorted(images, key=lambda image: image.name)), left_out)
    if not images:
        besides = f" {found.remark()}." if left_out else ""
        known = ", ".join(sorted(IMAGE_SUFFIXES))
        raise SourceError(f"{folder} holds no images ({known}).{besides} Give a folder with some.")
    return found


def _files_in(folder: Path, above: set[str]) -> Iterator[Path]:
    """Yield all files below `folder`; links to folders are followed, but not in a circle."""
    real = os.path.realpath(folder)
    if real in above:
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            yield from _files_in(path, {*above, real})
        elif not path.is_dir():
            yield path


def _why_not(path: Path) -> str:
    """Return why a file is left out; empty for images and their labels."""
    if path.name.startswith("."):
        return "hidden"
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES or suffix == _LABELS:
        return ""
    return suffix or "without suffix"
