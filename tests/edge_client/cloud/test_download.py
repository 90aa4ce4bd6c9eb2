"""Fetching from servers that are slow, confused or hostile: nothing is left behind."""

import threading
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from edge_client.cloud.download import fetch_bundle
from edge_client.cloud.file_pieces import capped
from partitioner.bundle.bundle import Bundle
from protos.errors import (
    BundleError,
    FileError,
    LateError,
    MismatchError,
    SplitpointError,
    UnknownNameError,
)
from protos.splitpoint_pb2 import FetchBundleResponse
from tests.kit.offers import Offer, all_pieces, fetch, offering, piece


def test_honest_offer_is_taken(residual_bundle: Bundle, tmp_path: Path) -> None:
    copy = fetch(Offer(residual_bundle, lambda: all_pieces(residual_bundle)), tmp_path / "copy")
    assert copy.digest == residual_bundle.digest


def test_bundle_that_is_not_listed_is_not_asked_for(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    offer = Offer(residual_bundle, lambda: all_pieces(residual_bundle))
    offer.name = "another"
    with pytest.raises(
        UnknownNameError, match="no bundle 'residual' for this device. It has: another"
    ):
        fetch(offer, tmp_path / "copy")
    assert offer.fetched == 0


def test_server_that_falls_silent_is_given_up(residual_bundle: Bundle, tmp_path: Path) -> None:
    given_up = threading.Event()

    def pieces() -> Iterator[FetchBundleResponse]:
        yield from list(all_pieces(residual_bundle))[:2]
        given_up.wait()

    with offering(Offer(residual_bundle, pieces)) as address:
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
    with pytest.raises(BundleError, match=f"more than the {offer.size_bytes + (1 << 20):,} bytes"):
        fetch(offer, tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_endless_empty_pieces_are_cut_off_and_full_ones_count_what_they_hold() -> None:
    with pytest.raises(BundleError, match="more than the 4,096 bytes"):
        list(capped(repeat(FetchBundleResponse(path="x")), 4096))
    full = piece("x", bytes(1 << 20))
    assert len(list(capped([full] * 7, 7 << 20))) == 7


def test_bundle_of_another_digest_than_listed_is_refused(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    offer = Offer(residual_bundle, lambda: all_pieces(residual_bundle))
    offer.digest = "f00d" * 16
    with pytest.raises(MismatchError, match="lists f00df00df00d…"):
        fetch(offer, tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_file_that_the_manifest_does_not_name_is_refused(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    def pieces() -> Iterator[FetchBundleResponse]:
        yield piece("profiles/edge.json", b"{}")
        yield from all_pieces(residual_bundle)

    with pytest.raises(BundleError, match=r"profiles/edge\.json, which the bundle's manifest"):
        fetch(Offer(residual_bundle, pieces), tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_file_below_a_file_is_a_sentence(residual_bundle: Bundle, tmp_path: Path) -> None:
    def pieces() -> Iterator[FetchBundleResponse]:
        yield piece("a", b"1")
        yield piece("a/b", b"1")

    with pytest.raises(FileError, match="copy cannot be written: "):
        fetch(Offer(residual_bundle, pieces), tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_fetch_brings_the_calibration(
    calibrated: Bundle, calibrated_address: str, tmp_path: Path
) -> None:
    copy = fetch_bundle(calibrated_address, calibrated.name, tmp_path / "copy")
    assert copy.ranges is not None
    assert calibrated.ranges is not None
    assert copy.ranges.digest == calibrated.ranges.digest


class Calibrated(Offer):
    """Lists a calibration as a test says."""

    digest_listed, bytes_listed = "ab" * 32, 100

    def ListBundles(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = super().ListBundles(request, context)
        answer.bundles[0].calibration_digest = self.digest_listed
        answer.bundles[0].calibration_bytes = self.bytes_listed
        return answer


@pytest.mark.parametrize(
    ("size", "kind", "match"),
    [
        (100, MismatchError, "another calibration"),
        (1 << 40, BundleError, "1,099,511,627,776 bytes"),
    ],
)
def test_calibration_other_than_listed_is_refused(
    size: int,
    kind: type[SplitpointError],
    match: str,
    residual_bundle: Bundle,
    tmp_path: Path,
) -> None:
    offer = Calibrated(residual_bundle, lambda: all_pieces(residual_bundle))
    offer.bytes_listed = size
    with pytest.raises(kind, match=match):
        fetch(offer, tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_bundle_in_the_way_is_replaced_whole_when_told_to_and_only_by_a_whole_one(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    out, offer = tmp_path / "copy", Offer(residual_bundle, lambda: all_pieces(residual_bundle))
    fetch(offer, out)
    (out / "profiles").mkdir()
    with pytest.raises(BundleError, match="give `replace` to replace it"):
        fetch(offer, out)
    offer.digest = "f00d" * 16
    with pytest.raises(MismatchError):
        fetch(offer, out, replace=True)
    assert (out / "profiles").exists()
    offer.digest = residual_bundle.digest
    assert fetch(offer, out, replace=True).digest == residual_bundle.digest
    assert not (out / "profiles").exists()  # the folder is another one
    (tmp_path / "notes").mkdir()
    with pytest.raises(BundleError, match="is no bundle; it is left alone"):
        fetch(offer, tmp_path / "notes", replace=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "notes"]
