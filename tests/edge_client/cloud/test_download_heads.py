"""Heads and exits from a server, byte for byte, and from one that lies."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cloud_server.server import CloudServer
from edge_client.cloud.download import fetch_bundle
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.exits import EXITS_FILE, BundleExits
from partitioner.bundle.head_export import export_heads
from partitioner.bundle.heads import HEADS_FILE
from partitioner.bundle.manifest import MANIFEST_FILE, WEIGHTS_MAP_FILE
from protos.errors import BundleError, MismatchError, SplitpointError, UnknownNameError
from protos.splitpoint_pb2 import FetchBundleResponse
from tests.kit.heads import contents
from tests.kit.offers import Offer, all_pieces, offering, piece


@pytest.fixture
def address(exiting: Bundle) -> Iterator[str]:
    with CloudServer(exiting.path) as server:
        yield server.address


def test_fetch_brings_the_exits_byte_for_byte(
    exiting: Bundle, address: str, tmp_path: Path
) -> None:
    copy = fetch_bundle(address, exiting.name, tmp_path / "copy")
    assert not copy.heads_only
    assert (copy.path / EXITS_FILE).read_bytes() == (exiting.path / EXITS_FILE).read_bytes()
    assert contents(copy.path) == contents(exiting.path)


def test_fetched_heads_are_those_that_export_makes(
    exiting: Bundle, address: str, tmp_path: Path
) -> None:
    cuts = [cut.id for cut in exiting.manifest.cuts]
    for wanted in ([cuts[0]], [cuts[0], cuts[-1]], ()):
        name = "-".join(wanted) or "all"
        made = export_heads(exiting, tmp_path / f"{name}.made", wanted)
        fetched = fetch_bundle(address, exiting.name, tmp_path / name, heads_of=wanted)
        assert contents(fetched.path) == contents(made.path)
        assert EXITS_FILE in contents(fetched.path)


def test_weights_of_several_stretches_are_fetched_to_their_places(
    bundles: Callable[[str], Bundle], tmp_path: Path
) -> None:
    bundle = bundles("two_towers")
    with CloudServer(bundle.path) as server:
        for cut in bundle.manifest.cuts:
            made = export_heads(bundle, tmp_path / f"{cut.id}.made", [cut.id])
            fetched = fetch_bundle(
                server.address, bundle.name, tmp_path / cut.id, heads_of=[cut.id]
            )
            assert contents(fetched.path) == contents(made.path)


def test_cut_that_the_server_lacks_is_not_fetched(
    exiting: Bundle, address: str, tmp_path: Path
) -> None:
    for name in ("cut-99", "edge"):
        with pytest.raises(UnknownNameError, match=f"has no head of {name}. It has heads of: cut-"):
            fetch_bundle(address, exiting.name, tmp_path / "copy", heads_of=[name])
    assert not (tmp_path / "copy").exists()


def test_exits_that_changed_under_the_server_are_sent_as_they_were_loaded(
    exiting: Bundle, address: str, tmp_path: Path
) -> None:
    loaded = exiting.known_exits()
    BundleExits(loaded.meta.model_copy(update={"made_at": "2001"}), loaded.by_cut).save(
        exiting.path
    )
    fetch_bundle(address, exiting.name, tmp_path / "copy")
    assert Bundle.load(tmp_path / "copy").known_exits().digest == loaded.digest


class Exiting(Offer):
    """Lists exits as a test says."""

    digest_listed, bytes_listed = "ab" * 32, 100

    def ListBundles(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = super().ListBundles(request, context)
        answer.bundles[0].exits_digest = self.digest_listed
        answer.bundles[0].exits_bytes = self.bytes_listed
        answer.bundles[0].cuts.extend(["cloud", "cut-01", "edge"])
        return answer


@pytest.mark.parametrize(
    ("size", "kind", "match"),
    [
        (100, MismatchError, "another set of exits"),
        (1 << 40, BundleError, "exits of 1,099,511,627,776"),
    ],
)
def test_exits_other_than_listed_are_refused(
    size: int, kind: type[SplitpointError], match: str, residual_bundle: Bundle, tmp_path: Path
) -> None:
    offer = Exiting(residual_bundle, lambda: all_pieces(residual_bundle))
    offer.bytes_listed = size
    with offering(offer) as address, pytest.raises(kind, match=match):
        fetch_bundle(address, "residual", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_server_that_sends_more_than_heads_is_refused(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    offer = Exiting(residual_bundle, lambda: all_pieces(residual_bundle))
    offer.digest_listed = ""
    with (
        offering(offer) as address,
        pytest.raises(BundleError, match="nobody asked for.*update this"),
    ):
        fetch_bundle(address, "residual", tmp_path / "copy", heads_of=["cut-01"])
    assert list(tmp_path.iterdir()) == []


def test_server_cannot_pass_heads_off_as_the_whole(middle_head: Bundle, tmp_path: Path) -> None:
    def pieces() -> Iterator[FetchBundleResponse]:
        for name, data in contents(middle_head.path).items():
            yield piece(name, data)

    with (
        offering(Offer(middle_head, pieces)) as address,
        pytest.raises(BundleError, match="nobody asked for"),
    ):
        fetch_bundle(address, "residual", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_hole_that_is_larger_than_what_was_listed_is_cut_off(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    def pieces() -> Iterator[FetchBundleResponse]:
        yield FetchBundleResponse(
            path="graphs/weights.bin", size_bytes=1 << 60, chunk=b"1", skipped_bytes=1 << 59
        )

    offer = Exiting(residual_bundle, pieces)
    offer.digest_listed, offer.bytes_listed = "", 0
    with (
        offering(offer) as address,
        pytest.raises(BundleError, match="more than the"),
    ):
        fetch_bundle(address, "residual", tmp_path / "copy", heads_of=["cut-01"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "heads_of"), [("bundle.json", ["cut-01"]), ("graphs/weights.bin", None)]
)
def test_hole_where_none_may_be_is_refused(
    path: str, heads_of: list[str] | None, residual_bundle: Bundle, tmp_path: Path
) -> None:
    def pieces() -> Iterator[FetchBundleResponse]:
        yield FetchBundleResponse(path=path, size_bytes=1 << 36, chunk=b"1", skipped_bytes=1 << 35)

    offer = Exiting(residual_bundle, pieces)
    offer.digest_listed, offer.bytes_listed = "", 0
    offer.size_bytes = 1 << 36
    with (
        offering(offer) as address,
        pytest.raises(BundleError, match=f"leaves 34,359,738,368 bytes of {path} out"),
    ):
        fetch_bundle(address, "residual", tmp_path / "copy", heads_of=heads_of)
    assert list(tmp_path.iterdir()) == []


def test_bundle_that_is_larger_than_a_file_may_be_is_refused(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    def pieces() -> Iterator[FetchBundleResponse]:
        yield FetchBundleResponse(
            path="graphs/weights.bin", size_bytes=1 << 63, chunk=b"1", skipped_bytes=1 << 63
        )

    offer = Exiting(residual_bundle, pieces)
    offer.digest_listed, offer.bytes_listed = "", 0
    offer.size_bytes = (1 << 64) - 1
    with (
        offering(offer) as address,
        pytest.raises(BundleError, match="announces a bundle of 18,446,744,073,709,551,615 bytes"),
    ):
        fetch_bundle(address, "residual", tmp_path / "copy", heads_of=["cut-01"])
    assert offer.fetched == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [MANIFEST_FILE, HEADS_FILE, WEIGHTS_MAP_FILE])
def test_document_that_would_fill_the_memory_is_not_read(
    name: str, middle_head: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: Path) -> bytes:
        assert path.name != name
        return whole_read(path)

    whole_read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", read)
    with (middle_head.path / name).open("ab") as file:
        file.truncate(1 << 36)
    why = " instead of" if name == WEIGHTS_MAP_FILE else ", and"
    with pytest.raises(BundleError, match=f"{name}.*68,719,476,736 bytes{why}"):
        Bundle.load(middle_head.path)
