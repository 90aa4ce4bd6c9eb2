"""The files of a bundle: the manifest read and written, and everything that is there checked."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from partitioner.bundle.manifest import MANIFEST_FILE, SCHEMA_VERSION, FileDigest, Manifest
from partitioner.bundle.weights_map import ByteRange
from partitioner.common.files import read_document
from protos.errors import BundleError

_CHUNK = 1 << 20


def digest_file(path: Path) -> FileDigest:
    """Return size and sha256 of a file."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return FileDigest(sha256=sha256, size_bytes=path.stat().st_size)


def digest_stretch(file: BinaryIO, offset: int, size_bytes: int) -> str | None:
    """Return the sha256 of a part of a file; None where the file ends before it does."""
    file.seek(offset)
    found, left = hashlib.sha256(), size_bytes
    while left > 0:
        chunk = file.read(min(_CHUNK, left))
        if not chunk:
            return None
        found.update(chunk)
        left -= len(chunk)
    return found.hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, with its own digest beside it."""
    document = {"digest": manifest.digest, "manifest": manifest.model_dump(mode="json")}
    (folder / MANIFEST_FILE).write_text(json.dumps(document, indent=1) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the bundle in `folder`; BundleError when there is none, or one that is damaged."""
    path = folder / MANIFEST_FILE
    try:
        document = json.loads(read_document(path))
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(
            f"{folder} is no bundle: it has no {MANIFEST_FILE}. "
            "Make one with: splitpoint import MODEL --out BUNDLE."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} cannot be read: {error}. Import the bundle again.") from error
    content = document.get("manifest") if isinstance(document, dict) else None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version != SCHEMA_VERSION:
        raise BundleError(
            f"{folder} has schema version {version}, and this splitpoint reads {SCHEMA_VERSION}. "
            "Install the splitpoint that made it, or import the bundle again."
        )
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise BundleError(
            f"{path} is damaged: {where}: {first['msg']}. Import the bundle again."
        ) from error
    if document.get("digest") != manifest.digest:
        raise BundleError(
            f"{path} was changed: its digest is {manifest.digest[:12]}…, but it says "
            f"{str(document.get('digest'))[:12]}…. Import or copy the bundle again."
        )
    return manifest


def check_file(folder: Path, name: str, wanted: FileDigest) -> None:
    """Raise BundleError unless the bundle in `folder` has this file, as the manifest says it is."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BundleError(
            f"{folder / MANIFEST_FILE} names {name!r}, which lies outside the bundle."
        )
    try:
        found = digest_file(path)
    except OSError as error:
        raise BundleError(
            f"{folder} lacks {name} ({error.strerror}). Import or copy the bundle again."
        ) from error
    if found != wanted:
        what = (
            f"has {found.size_bytes} bytes instead of {wanted.size_bytes}"
            if found.size_bytes != wanted.size_bytes
            else f"has the digest {found.sha256[:12]}… instead of {wanted.sha256[:12]}…"
        )
        raise BundleError(f"{path} is damaged: it {what}. Import or copy the bundle again.")


def check_stretches(folder: Path, name: str, stretches: Iterable[ByteRange]) -> None:
    """Raise BundleError unless these parts of a file are there, as the map of the weights says they are."""
    path = folder / name
    try:
        with path.open("rb") as file:
            for one in stretches:
                if (found := digest_stretch(file, one.offset, one.size_bytes)) != one.sha256:
                    what = f"have the digest {found[:12]}…" if found else "are not all there"
                    raise BundleError(
                        f"{path} is damaged: its bytes {one.offset} to {one.end} {what}, and "
                        f"{one.sha256[:12]}… is wanted. Fetch or copy the heads again."
                    )
    except OSError as error:
        raise BundleError(
            f"{folder} lacks {name} ({error.strerror}). Fetch or copy the heads again."
        ) from error
