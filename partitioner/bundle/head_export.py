"""Taking the heads of some cuts out of a bundle, for a device that holds nothing else of it."""

from collections.abc import Sequence
from pathlib import Path

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import CALIBRATION_FILE
from partitioner.bundle.contents import Contents
from partitioner.bundle.exits import EXITS_FILE
from partitioner.bundle.folder import new_folder
from partitioner.bundle.heads import Held
from partitioner.bundle.manifest import WEIGHTS_FILE
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
    held = Held.of(bundle.manifest, cuts)
    parts = held.parts(bundle.contents, bundle.manifest)
    beside = {
        **bundle.documents,
        CALIBRATION_FILE: bundle.calibration.file if bundle.calibration else b"",
        EXITS_FILE: bundle.exits.file if bundle.exits else b"",
    }
    with new_folder(out, replace=replace) as folder:
        for name in held.files(bundle.manifest):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(bundle.contents.read(name))
        for name, content in beside.items():
            if content:
                (folder / name).write_bytes(content)
        if parts:
            _copy_parts(bundle.contents, folder / WEIGHTS_FILE, parts)
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


def _copy_parts(contents: Contents, target: Path, parts: Sequence[ByteRange]) -> None:
    """Copy parts of the weights to the same places in another file, which has holes between them."""
    with target.open("wb") as file:
        for one in parts:
            file.seek(one.offset)
            for start in range(one.offset, one.end, _CHUNK_BYTES):
                size_bytes = min(_CHUNK_BYTES, one.end - start)
                file.write(contents.read_part(WEIGHTS_FILE, start, size_bytes))
