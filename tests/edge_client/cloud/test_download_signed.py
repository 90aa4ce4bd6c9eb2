"""A signature comes along with a download, and is checked before the copy gets its name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_server.server import CloudServer
from edge_client.cloud.download import fetch_bundle
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import MAX_SIGNATURE_BYTES, SIGNATURE_FILE
from partitioner.signatures.release_book import DeviceTrust
from protos.errors import BundleError, SignatureError
from protos.splitpoint_pb2 import FetchBundleResponse, ListBundlesResponse
from tests.kit.edge_commands import invoke
from tests.kit.exit_models import exit_cuts
from tests.kit.heads import contents
from tests.kit.offers import Offer, all_pieces, offering, piece
from tests.kit.signatures import Signer


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer.new(tmp_path / "keys")


@pytest.fixture
def signed(signer: Signer, exiting: Bundle) -> Bundle:
    signer.sign(exiting.path, 4)
    signer.permit(exiting.path, exiting.name, 4, 6)
    return Bundle.load(exiting.path)


@pytest.fixture
def address(signed: Bundle) -> Iterator[str]:
    with CloudServer(signed.path) as server:
        yield server.address


def trust(signer: Signer, tmp_path: Path) -> DeviceTrust:
    return DeviceTrust.of(signer.trusted, tmp_path / "state", required=True)


def test_copy_has_signature_and_permission_byte_for_byte(
    signer: Signer, signed: Bundle, address: str, tmp_path: Path
) -> None:
    check = trust(signer, tmp_path).check
    copy = fetch_bundle(address, signed.name, tmp_path / "copy", check=check)
    assert contents(copy.path) == contents(signed.path)


def test_heads_alone_are_checked_against_the_signature_of_the_whole(
    signer: Signer, signed: Bundle, address: str, tmp_path: Path
) -> None:
    check = trust(signer, tmp_path).check
    copy = fetch_bundle(
        address, signed.name, tmp_path / "copy", heads_of=exit_cuts(signed)[:1], check=check
    )
    assert copy.heads_only
    assert check(copy) is not None


def test_unsigned_bundle_is_not_kept(signer: Signer, exiting: Bundle, tmp_path: Path) -> None:
    check = trust(signer, tmp_path).check
    wanted = r"^m of 127\.0\.0\.1:\d+ is not signed, and a signature is required"
    with CloudServer(exiting.path) as server, pytest.raises(SignatureError, match=wanted):
        fetch_bundle(server.address, exiting.name, tmp_path / "copy", check=check)
    assert not (tmp_path / "copy").exists()


def test_older_release_is_not_fetched(
    signer: Signer, signed: Bundle, address: str, tmp_path: Path
) -> None:
    known = trust(signer, tmp_path)
    assert known.book is not None
    known.book.note(signed.name, 6)
    assert fetch_bundle(address, signed.name, tmp_path / "permitted", check=known.check)
    known.book.note(signed.name, 7)
    with pytest.raises(
        SignatureError, match="is release 4 of m, and this device has run release 7"
    ):
        fetch_bundle(address, signed.name, tmp_path / "copy", check=known.check)


def test_command_keeps_what_is_signed_and_nothing_else(
    signer: Signer, signed: Bundle, address: str, tmp_path: Path
) -> None:
    words = (
        "fetch",
        signed.name,
        "--cloud",
        address,
        "--out",
        tmp_path / "copy",
        "--state",
        tmp_path,
    )
    other = Signer.new(tmp_path / "other")
    done = invoke(*words, "--trusted-keys", other.trusted, "--require-signature")
    assert f"is of the key {signer.key.public.id}" in str(done.exception)
    assert not (tmp_path / "copy").exists()
    done = invoke(*words, "--trusted-keys", signer.trusted, "--require-signature")
    assert done.exception is None
    assert contents(tmp_path / "copy") == contents(signed.path)


class Huge(Offer):
    """Announces a signature larger than any."""

    def ListBundles(self, request: object, context: object) -> ListBundlesResponse:  # noqa: N802
        found = super().ListBundles(request, context)
        found.bundles[0].signature_bytes = 2 * MAX_SIGNATURE_BYTES + 1
        return found


def test_signature_larger_than_any_is_refused_before_it_comes(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    offer = Huge(residual_bundle, lambda: all_pieces(residual_bundle))
    with offering(offer) as address, pytest.raises(BundleError, match="announces a signature of"):
        fetch_bundle(address, "residual", tmp_path / "copy")
    assert offer.fetched == 0


def test_signature_that_nobody_asked_for_is_refused(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    def pieces() -> Iterator[FetchBundleResponse]:
        yield piece(SIGNATURE_FILE, b"{}")
        yield from all_pieces(residual_bundle)

    wanted = "sent signature.json, which the bundle's manifest does not"
    with (
        offering(Offer(residual_bundle, pieces)) as address,
        pytest.raises(BundleError, match=wanted),
    ):
        fetch_bundle(address, "residual", tmp_path / "copy")
