"""Fetching from servers that are slow, confused or hostile: nothing is left behind."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any

import grpc
import pytest

from edge_client.cloud.download import fetch_bundle
from edge_client.cloud.file_pieces import capped
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import MANIFEST_FILE
from protos.errors import BundleError, FileError, LateError, MismatchError, UnknownNameError
from protos.splitpoint_pb2 import FetchBundleResponse, ListBundlesResponse
from protos.splitpoint_pb2_grpc import SplitpointServicer, add_SplitpointServicer_to_server

Pieces = Callable[[], Iterator[FetchBundleResponse]]


class Offer(SplitpointServicer):
    """Lists one bundle, truthfully unless told otherwise, and sends what a test gives it."""

    def __init__(self, bundle: Bundle, pieces: Pieces) -> None:
        self.digest = bundle.digest
        self.size_bytes = bundle.size_bytes
        self.name = bundle.name
        self.fetched = 0
        self._pieces = pieces

    def ListBundles(self, request: Any, context: Any) -> ListBundlesResponse:  # noqa: N802
        entry = ListBundlesResponse.Entry(
            name=self.name, digest=self.digest, size_bytes=self.size_bytes
        )
        return ListBundlesResponse(bundles=[entry])

    def FetchBundle(self, request: Any, context: Any) -> Iterator[FetchBundleResponse]:  # noqa: N802
        self.fetched += 1
        yield from self._pieces()


@contextmanager
def serving(offer: Offer) -> Iterator[str]:
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        add_SplitpointServicer_to_server(offer, server)  # type: ignore[no-untyped-call]
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()


def piece(path: str, data: bytes) -> FetchBundleResponse:
    return FetchBundleResponse(path=path, size_bytes=len(data), chunk=data)


def whole(bundle: Bundle) -> Iterator[FetchBundleResponse]:
    for name in (*bundle.manifest.files, MANIFEST_FILE):
        yield piece(name, (bundle.path / name).read_bytes())


def fetch(offer: Offer, out: Path, **more: float) -> Bundle:
    with serving(offer) as address:
        return fetch_bundle(address, "residual", out, **more)


def test_honest_offer_is_taken(residual_bundle: Bundle, tmp_path: Path) -> None:
    copy = fetch(Offer(residual_bundle, lambda: whole(residual_bundle)), tmp_path / "copy")
    assert copy.digest == residual_bundle.digest


def test_bundle_that_is_not_listed_is_not_asked_for(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    offer = Offer(residual_bundle, lambda: whole(residual_bundle))
    offer.name = "another"
    with pytest.raises(UnknownNameError, match="has no bundle 'residual'. It has: another"):
        fetch(offer, tmp_path / "copy")
    assert offer.fetched == 0


def test_server_that_falls_silent_is_given_up(residual_bundle: Bundle, tmp_path: Path) -> None:
    given_up = threading.Event()

    def pieces() -> Iterator[FetchBundleResponse]:
        yield from list(whole(residual_bundle))[:2]
        given_up.wait()

    with serving(Offer(residual_bundle, pieces)) as address:
        try:
            with pytest.raises(LateError, match=r"nothing more for 0\.05 s"):
                fetch_bundle(address, "residual", tmp_path / "copy", idle_s=0.05)
        finally:
            given_up.set()
    assert list(tmp_path.iterdir()) == []


def test_endless_download_is_cut_off(residual_bundle: Bundle, tmp_path: Path) -> None:
    offer = Offer(
        residual_bundle,
        lambda: repeat(FetchBundleResponse(path="x", size_bytes=1 << 60, chunk=bytes(1 << 16))),
    )
    with pytest.raises(BundleError, match=f"more than the {offer.size_bytes + (1 << 20)} bytes"):
        fetch(offer, tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_endless_empty_pieces_are_cut_off_and_full_ones_count_what_they_hold() -> None:
    with pytest.raises(BundleError, match="more than the 4096 bytes"):
        list(capped(repeat(FetchBundleResponse(path="x")), 4096))
    full = piece("x", bytes(1 << 20))
    assert len(list(capped([full] * 7, 7 << 20))) == 7


def test_bundle_of_another_digest_than_listed_is_refused(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    offer = Offer(residual_bundle, lambda: whole(residual_bundle))
    offer.digest = "f00d" * 16
    with pytest.raises(MismatchError, match="lists f00df00df00d…"):
        fetch(offer, tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_file_that_the_manifest_does_not_name_is_refused(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    def pieces() -> Iterator[FetchBundleResponse]:
        yield piece("profiles/edge.json", b"{}")
        yield from whole(residual_bundle)

    with pytest.raises(BundleError, match=r"profiles/edge\.json, which the bundle's manifest"):
        fetch(Offer(residual_bundle, pieces), tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_file_below_a_file_is_a_sentence(residual_bundle: Bundle, tmp_path: Path) -> None:
    def pieces() -> Iterator[FetchBundleResponse]:
        yield piece("a", b"1")
        yield piece("a/b", b"1")

    with pytest.raises(FileError, match="cannot be written to"):
        fetch(Offer(residual_bundle, pieces), tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []
