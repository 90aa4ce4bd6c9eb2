"""Taking the heads of some cuts out of a bundle, for a device that holds nothing else of it."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import CALIBRATION_FILE
from partitioner.bundle.exits import EXITS_FILE
from partitioner.bundle.folder import new_folder
from partitioner.bundle.heads import Held
from partitioner.bundle.manifest import MANIFEST_FILE, WEIGHTS_FILE
from partitioner.bundle.weights_map import ByteRange
from protos.errors import UsageError

_CHUNK_BYTES = 1 << 20


def export_heads(
    bundle: Bundle, out: Path, cuts: Sequence[str] = (), *, replace: bool = False
) -> Bundle:
    """Write a head-only bundle of `cuts` (none: of all) to `out`, and load it; it appears whole or never.

    It has the digest of `bundle`, and its exits and calibration. Raises BundleError when `out` exists and
    `replace` is not set, `bundle` is head-only itself, or its exits are of another model;
    UnknownNameError for cuts that have no head; UsageError for an `out` that would replace `bundle`.
    """
    bundle.need_whole("exporting heads")
    _check_apart(bundle.path, out)
    _ = bundle.exits  # those of another model are refused before anything is written
    held = Held.of(bundle.manifest, cuts)
    stretches = held.stretches(bundle.path, bundle.manifest)
    beside = [name for name in (CALIBRATION_FILE, EXITS_FILE) if (bundle.path / name).exists()]
    with new_folder(out, replace=replace) as folder:
        for name in (*held.files(bundle.manifest), *beside, MANIFEST_FILE):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.path / name, target)
        if stretches:
            _copy_stretches(bundle.path / WEIGHTS_FILE, folder / WEIGHTS_FILE, stretches)
        held.save(folder)
        Bundle.load(folder)
    return Bundle.load(out)


def _check_apart(whole: Path, out: Path) -> None:
    """Raise UsageError where the folders are one, or one lies in the other."""
    ours, theirs = whole.resolve(), out.resolve()
    if ours.is_relative_to(theirs) or theirs.is_relative_to(ours):
        raise UsageError(
            f"heads in {out} would take the place of the bundle {whole} that they come from, or lie in "
            "it. Give an `out` beside it."
        )


def _copy_stretches(source: Path, target: Path, stretches: Sequence[ByteRange]) -> None:
    """Copy parts of a file to the same places in another, which has holes between them."""
    with source.open("rb") as whole, target.open("wb") as part:
        for one in stretches:
            whole.seek(one.offset)
            part.seek(one.offset)
            for start in range(0, one.size_bytes, _CHUNK_BYTES):
                part.write(whole.read(min(_CHUNK_BYTES, one.size_bytes - start)))
