"""Fetching a bundle from a server; the folder appears whole or not at all."""

import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import grpc

from edge_client.handshake import SERVICE
from partitioner.bundle import Bundle
from partitioner.remote import translate
from protos.channels import DEFAULT_MAX_MESSAGE_BYTES, channel_options
from protos.errors import BundleError, UsageError
from protos.splitpoint_pb2 import FetchBundleRequest, FetchBundleResponse

OnFile = Callable[[str, int, int], None]
"""Path of a file, its bytes that have come, and all of its bytes."""


def fetch_bundle(
    address: str, name: str, out: Path, on_file: OnFile = lambda _path, _done, _total: None
) -> Bundle:
    """Copy bundle `name` from the server at `address` to the new folder `out`, and load it.

    Raises UsageError when `out` exists, UnreachableError, UnknownNameError, and BundleError when what
    came is damaged or would be written outside of the folder. Nothing is left behind then.
    """
    if out.exists():
        raise UsageError(f"{out} exists already. Give another --out, or remove it first.")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        with grpc.insecure_channel(
            address, options=channel_options(DEFAULT_MAX_MESSAGE_BYTES)
        ) as channel:
            call = channel.unary_stream(
                SERVICE + "FetchBundle",
                request_serializer=FetchBundleRequest.SerializeToString,
                response_deserializer=FetchBundleResponse.FromString,
            )
            write_files(partial, call(FetchBundleRequest(name=name)), on_file)
        Bundle.load(partial)  # every digest is checked before the bundle gets its name
        partial.chmod(0o755)
        partial.rename(out)
    except grpc.RpcError as failure:
        raise translate(failure, address) from failure
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Bundle.load(out)


def write_files(folder: Path, pieces: Iterable[FetchBundleResponse], on_file: OnFile) -> None:
    """Write the pieces of files, in order, below `folder`; BundleError on a path that leaves it."""
    for piece in pieces:
        path = inside(folder, piece.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(piece.chunk)
            written = file.tell()
        if written > piece.size_bytes:
            raise BundleError(
                f"the server sent more of {piece.path} than the {piece.size_bytes} bytes it announced. "
                "Try again, or update the server."
            )
        on_file(piece.path, written, piece.size_bytes)


def inside(folder: Path, relative: str) -> Path:
    """Return `folder`/`relative`; BundleError when that lies elsewhere."""
    path = PurePosixPath(relative)
    if (
        not relative
        or path.is_absolute()
        or ".." in path.parts
        or "\\" in relative
        or "\0" in relative
    ):
        raise BundleError(
            f"the server sent a file called {relative!r}, which lies outside the bundle. "
            "It was refused: do not trust this server."
        )
    return folder.joinpath(*path.parts)
