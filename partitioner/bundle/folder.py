"""A bundle's folder appears whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from partitioner.bundle.calibration import CALIBRATION_FILE
from partitioner.bundle.exits import EXITS_FILE
from partitioner.bundle.manifest import MANIFEST_FILE, PROFILES_FOLDER, SIGNATURE_FILE
from partitioner.common.files import whole_folder
from protos.errors import BundleError

_FOUND = (CALIBRATION_FILE, EXITS_FILE, SIGNATURE_FILE)


@contextmanager
def new_folder(target: Path, *, replace: bool) -> Iterator[Path]:
    """Give a folder beside `target` that takes its place at the end, or vanishes on any error.

    Raises BundleError when `target` is in the way, FileError when the disk refuses.
    """
    if target.exists() and not replace:
        raise BundleError(
            f"{target} exists. Choose another `out`, or give `replace` to replace it."
        )
    if target.exists() and not (target / MANIFEST_FILE).exists():
        raise BundleError(
            f"{target} exists and is no bundle; it is left alone. Choose another `out`."
        )
    with whole_folder(target) as partial:
        yield partial


def found_beside(folder: Path) -> set[str]:
    """Return the names of the files in a bundle's folder that tell what was found of it, not what it is.

    Its signature is one: whoever signs the next has to know the release of the last.
    """
    names = {name for name in _FOUND if (folder / name).exists()}
    profiles = (folder / PROFILES_FOLDER).glob("*.json")
    return names | {f"{PROFILES_FOLDER}/{path.name}" for path in profiles}


def lost_text(before: set[str], folder: Path) -> str:
    """Say what a bundle that was replaced had `before` and lacks now; empty where that is nothing."""
    lost = sorted(before - found_beside(folder))
    if not lost:
        return ""
    gone = ", ".join(lost)
    return (
        f"{folder} was replaced, and what had been found of the old bundle is gone with it: {gone}"
    )
