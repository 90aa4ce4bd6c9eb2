"""Small .npz files beside a bundle's manifest: `meta`, JSON as bytes, and arrays. Never unpickled."""

import json
import tokenize
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from partitioner.common.files import read_document, whole_file
from partitioner.common.units import plural
from protos.errors import BundleError

M = TypeVar("M", bound=BaseModel)

BROKEN = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    MemoryError,
    RuntimeError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What numpy and zipfile raise for files that are damaged, or no such archives."""


def read_archive(content: bytes, model: type[M], max_bytes: int) -> tuple[M, dict[str, Any]]:
    """Return meta data and arrays; ValueError for what is damaged, too large or too new."""
    try:
        arrays = unpack(content, max_bytes)
        document = json.loads(arrays.pop("meta").tobytes())
    except BROKEN as error:
        raise ValueError(error) from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    wanted = model.model_fields["schema_version"].default
    if isinstance(version, int) and version != wanted:
        raise ValueError(f"schema version {version}, not {wanted}")
    try:
        return model.model_validate(document), arrays
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise ValueError(f"{where}: {first['msg']}") from error


def read_beside(
    path: Path, what: str, model: type[M], max_bytes: int, split_digest: str, advice: str
) -> tuple[M, dict[str, Any], bytes] | None:
    """Return meta data, arrays and all bytes of a file beside a bundle's manifest; None if there is none.

    Raises BundleError when it is damaged, or of a bundle with other graphs or weights. `what` it holds, in
    a word; `advice`: what to do then, as an order: `Train again with: …, or remove the file`.
    """
    if not path.exists():
        return None
    try:
        content = read_document(path, max_bytes)
        meta, arrays = read_archive(content, model, max_bytes)
    except (OSError, ValueError) as error:
        raise damaged(path, error, advice) from error
    theirs = getattr(meta, "split_digest")  # noqa: B009 - every such model has it
    if theirs != split_digest:
        raise BundleError(
            f"{path} holds the {what} of another model: {theirs[:12]}…, and this is {split_digest[:12]}…. "
            f"{advice}."
        )
    return meta, arrays, content


def damaged(path: Path, why: object, advice: str) -> BundleError:
    """Return the error for a file that cannot be used."""
    return BundleError(f"{path} is damaged: {why}. {advice}.")


def write_archive(path: Path, meta: BaseModel, arrays: dict[str, Any]) -> None:
    """Write meta data and arrays; the file appears whole or not at all. Raises FileError."""
    packed = {"meta": np.frombuffer(meta.model_dump_json().encode(), np.uint8), **arrays}
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **packed)


def unpack(content: bytes, max_bytes: int) -> dict[str, Any]:
    """Return the arrays of an .npz; ValueError where they unfold to more than allowed, before they do.

    What is damaged raises one of BROKEN.
    """
    with zipfile.ZipFile(BytesIO(content)) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > max_bytes:
        raise ValueError(f"it unfolds to {plural(unpacked, 'byte')}, and {max_bytes:,} are allowed")
    with np.load(BytesIO(content), allow_pickle=False) as archive:
        return dict(archive)
