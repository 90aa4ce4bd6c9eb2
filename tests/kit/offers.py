"""Servers that offer a bundle for download, truthfully or not."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from edge_client.cloud.download import fetch_bundle
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import MANIFEST_FILE
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
def offering(offer: Offer) -> Iterator[str]:
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        add_SplitpointServicer_to_server(offer, server)  # type: ignore[no-untyped-call]
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()


def piece(path: str, data: bytes) -> FetchBundleResponse:
    return FetchBundleResponse(path=path, size_bytes=len(data), chunk=data)


def all_pieces(bundle: Bundle) -> Iterator[FetchBundleResponse]:
    for name in (*bundle.manifest.files, MANIFEST_FILE):
        yield piece(name, (bundle.path / name).read_bytes())


def fetch(offer: Offer, out: Path, **more: Any) -> Bundle:
    with offering(offer) as address:
        return fetch_bundle(address, "residual", out, **more)
