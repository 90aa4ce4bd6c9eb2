"""The download of a bundle, or of the heads of some cuts; the folder appears whole or not at all."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc

from edge_client.cloud.file_pieces import OnFile, capped, write_files
from partitioner.bundle.bundle import Bundle, Check
from partitioner.bundle.calibration import CALIBRATION_FILE, MAX_CALIBRATION_BYTES
from partitioner.bundle.exits import EXITS_FILE, MAX_EXITS_BYTES
from partitioner.bundle.folder import new_folder
from partitioner.bundle.heads import HEADS_FILE, Held
from partitioner.bundle.manifest import (
    MANIFEST_FILE,
    MAX_SIGNATURE_BYTES,
    ROLLBACK_FILE,
    SIGNATURE_FILE,
    WEIGHTS_FILE,
    read_manifest,
)
from partitioner.common.units import plural
from protos.errors import (
    BundleError,
    LateError,
    MismatchError,
    SignatureError,
    UnknownNameError,
)
from protos.names import CLOUD, EDGE
from protos.rpc.calls import translate
from protos.rpc.endpoints import Endpoint
from protos.splitpoint_pb2 import (
    FetchBundleRequest,
    FetchBundleResponse,
    ListBundlesRequest,
    ListBundlesResponse,
)
from protos.splitpoint_pb2_grpc import SplitpointStub

IDLE_S = 120.0
"""A piece is 1 MiB at most, and comes whole: this allows for links of 70 kbit/s."""
_ANSWER_S = 15.0
_MANIFEST_BYTES = 1 << 20
"""Bytes allowed beside the files that the server lists: the manifest, and names."""
_MAX_BUNDLE_BYTES = 1 << 40
"""More than any model; a hole of that size is read through in minutes."""


def fetch_bundle(
    server: str | Endpoint,
    name: str,
    out: Path,
    on_file: OnFile = lambda _path, _done, _total: None,
    *,
    version: str = "",
    heads_of: Sequence[str] | None = None,
    replace: bool = False,
    check: Check | None = None,
    idle_s: float = IDLE_S,
) -> Bundle:
    """Copy bundle `name` from `server` to the folder `out`, and load it; an address alone: in the clear.

    `version`: its number, or its digest; empty: the server's default.

    `replace`: a bundle that is there makes way, with all that was measured of it, once the copy is whole.

    `heads_of`: only what the heads of these cuts need, or of all cuts if it names none; None: all. `check`
    may refuse what came, see `Bundle.load`.
    Raises BundleError when `out` is in the way, FileError when the disk refuses, UnreachableError,
    UnknownNameError, LateError when nothing comes for `idle_s`, MismatchError when it is not the bundle that
    the server lists, and BundleError when it is damaged, more than was listed, or outside of the folder. What
    was there is as before then.
    """
    endpoint = Endpoint.of(server)
    try:
        with new_folder(out, replace=replace) as partial:
            listed = _download(endpoint, name, version, partial, on_file, heads_of, idle_s)
            # before the bundle gets its name
            copy = Bundle.load(partial, check=_naming(check, f"{name} of {endpoint.address}"))
            _check_copy(copy, listed, heads_only=heads_of is not None)
    except grpc.RpcError as failure:
        raise translate(failure, endpoint) from failure
    return Bundle.load(out)


def _download(
    endpoint: Endpoint,
    name: str,
    version: str,
    folder: Path,
    on_file: OnFile,
    heads_of: Sequence[str] | None,
    idle_s: float,
) -> ListBundlesResponse.Entry:
    """Write all files below `folder`, and return what the server had listed of the bundle."""
    address = endpoint.address
    with endpoint.open() as channel:
        server = SplitpointStub(channel)
        offered = server.ListBundles(ListBundlesRequest(), timeout=_ANSWER_S)
        listed = find_entry(offered, name, address, version)
        most_bytes = _most_bytes(listed)
        request = FetchBundleRequest(
            name=name,
            # What was listed, though the default may be another one by now.
            version=listed.version_digest,
            with_calibration=bool(listed.calibration_digest),
            with_exits=bool(listed.exits_digest),
            with_signature=bool(listed.signature_bytes),
            heads_of=() if heads_of is None else _heads(listed, heads_of, address),
        )
        pieces = prompt(server.FetchBundle(request), idle_s, address)
        write_files(
            folder,
            capped(pieces, most_bytes),
            on_file,
            holed="" if heads_of is None else WEIGHTS_FILE,
        )
    if heads_of is not None:
        Held.of(read_manifest(folder), request.heads_of).save(folder)
    return listed


def _heads(listed: ListBundlesResponse.Entry, wanted: Sequence[str], address: str) -> Sequence[str]:
    """Return the cuts whose heads to ask for: those wanted, or all; UnknownNameError when there are none."""
    known = [cut for cut in listed.cuts if cut not in (CLOUD, EDGE)]
    unknown = [cut for cut in wanted if cut not in known]
    if unknown or not known:
        raise UnknownNameError(
            f"{listed.name} at {address} has no head of {unknown[0] if unknown else 'any cut'}. It has "
            f"heads of: {', '.join(known) or 'none'}. Name one of these, or fetch the whole bundle."
        )
    return wanted or known


def _most_bytes(listed: ListBundlesResponse.Entry) -> int:
    """Return how much may come; BundleError for what is announced larger than any may be."""
    for what, size, limit in (
        ("a bundle", listed.size_bytes, _MAX_BUNDLE_BYTES),
        ("a calibration", listed.calibration_bytes, MAX_CALIBRATION_BYTES),
        ("exits", listed.exits_bytes, MAX_EXITS_BYTES),
        ("a signature", listed.signature_bytes, 2 * MAX_SIGNATURE_BYTES),
    ):
        if size > limit:
            raise BundleError(
                f"the server announces {what} of {plural(size, 'byte')}, and {limit:,} are allowed. "
                "It was refused: do not trust this server."
            )
    beside = listed.calibration_bytes + listed.exits_bytes + listed.signature_bytes
    return listed.size_bytes + beside + _MANIFEST_BYTES


def find_entry(
    offered: ListBundlesResponse, name: str, address: str, version: str = ""
) -> ListBundlesResponse.Entry:
    """Return what the server lists of bundle `name`: of its default, or of a version by number or digest.

    Raises UnknownNameError, which names those that it has.
    """
    found = [entry for entry in offered.bundles if entry.name == name]
    if not found:
        has = ", ".join(dict.fromkeys(entry.name for entry in offered.bundles)) or "none"
        raise UnknownNameError(
            f"the server at {address} has no bundle {name!r} for this device. It has: {has}. "
            "Fetch one of these, or let whoever runs it put that one there, or let this device use it."
        )
    if not version:
        return next((entry for entry in found if entry.is_default), found[0])
    for entry in found:
        if version in (entry.version, entry.digest, entry.version_digest):
            return entry
    has = ", ".join(f"{entry.version} (digest {entry.digest[:12]}…)" for entry in found)
    raise UnknownNameError(
        f"{name} at {address} has no version {version!r}. It has: {has}. Fetch one of these."
    )


def prompt(call: Any, idle_s: float, address: str) -> Iterator[FetchBundleResponse]:
    """Yield what `call` brings; LateError, and the call's end, when nothing comes for `idle_s`."""
    try:
        while (piece := _next_piece(call, idle_s)) is not None:
            yield piece
    except grpc.RpcError as failure:
        if failure.code() is not grpc.StatusCode.CANCELLED:
            raise
        raise LateError(
            f"the server at {address} sent nothing more for {idle_s:g} s. "
            "Check the link, and fetch again."
        ) from failure


def _next_piece(call: Any, idle_s: float) -> FetchBundleResponse | None:
    alarm = threading.Timer(idle_s, call.cancel)
    alarm.daemon = True
    alarm.start()
    try:
        return next(call, None)
    finally:
        alarm.cancel()


def _naming(check: Check | None, what: str) -> Check | None:
    """Return a check that says `what` it refuses, which lies in a folder that is about to vanish."""
    if check is None:
        return None

    def named(copy: Bundle) -> None:
        try:
            check(copy)
        except SignatureError as error:
            raise SignatureError(str(error).replace(str(copy.path), what)) from error

    return named


def _check_copy(copy: Bundle, listed: ListBundlesResponse.Entry, *, heads_only: bool) -> None:
    """Raise unless the copy is what was listed, and holds no file that its manifest does not name."""
    if copy.digest != listed.digest:
        raise MismatchError(
            f"the server sent a bundle {copy.name!r} of the digest {copy.digest[:12]}… and lists "
            f"{listed.digest[:12]}…. It may have been changed just now: fetch again."
        )
    ranges, exits = copy.ranges, copy.exits
    for what, found, wanted in (
        ("calibration", ranges.digest if ranges else "", listed.calibration_digest),
        ("set of exits", exits.digest if exits else "", listed.exits_digest),
    ):
        if found != wanted:
            raise MismatchError(
                f"the server sent another {what} of {copy.name!r} ({found[:12] or 'none'}) than it lists "
                f"({wanted[:12] or 'none'}). It may have been changed just now: fetch again."
            )
    files = copy.held.files(copy.manifest) if copy.held else copy.manifest.files
    named = {*files, WEIGHTS_FILE, MANIFEST_FILE, CALIBRATION_FILE, EXITS_FILE}
    if heads_only:
        named.add(HEADS_FILE)  # it is ours
    if listed.signature_bytes:
        named |= {SIGNATURE_FILE, ROLLBACK_FILE}
    sent = {
        path.relative_to(copy.path).as_posix() for path in copy.path.rglob("*") if path.is_file()
    }
    if extra := sorted(sent - named):
        raise BundleError(
            f"the server sent {', '.join(extra[:3])}, which the bundle's manifest does not name or nobody "
            "asked for. It was refused: update this server, or do not trust it."
        )
