"""The download of a version: only what is missing, gone on with where it broke, and nothing that is wrong."""

import errno
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from edge_client.updates.pace import DownloadPace
from edge_client.updates.shelf import VersionShelf
from edge_client.updates.version_download import VersionDownload
from edge_client.updates.wanted_files import WantedFile, part_of
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.head_export import export_heads
from partitioner.bundle.manifest import MANIFEST_FILE, WEIGHTS_FILE
from protos.errors import BundleError, FileError, MismatchError, UnreachableError
from tests.kit.version_offers import Files, FreeLink, offer_of
from tests.kit.versions import make_version


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    folder = tmp_path_factory.mktemp("versions")
    return make_version(folder / "1", 0), make_version(folder / "2", 1)


async def at_once(_seconds: float) -> None:
    """Wait for nothing."""


def download(
    new: Bundle, old: Bundle, files: Files, folder: Path, link: FreeLink | None = None
) -> VersionDownload:
    return VersionDownload(
        offer_of(new), files, VersionShelf(folder / "net.bundle"), old, link or FreeLink(),
        DownloadPace(), sleep=at_once,
    )  # fmt: skip


def lacking_files(old: Bundle, new: Bundle) -> set[str]:
    known = {file.sha256 for file in old.manifest.files.values()}
    return {path for path, file in new.manifest.files.items() if file.sha256 not in known}


async def test_only_what_the_device_lacks_comes_over_the_link(
    versions: tuple[Bundle, Bundle], tmp_path: Path
) -> None:
    old, new = versions
    files = Files(new)
    fetching = download(new, old, files, tmp_path)
    folder = await fetching.run()
    assert Bundle.load(folder).version_digest == new.version_digest
    assert files.paths == lacking_files(old, new)
    assert 0 < len(files.paths) < len(new.manifest.files)


async def test_download_goes_on_where_the_link_broke_even_after_a_restart(
    versions: tuple[Bundle, Bundle], tmp_path: Path, residual_bundle: Bundle
) -> None:
    _, new = versions
    other = residual_bundle.only(())
    files = Files(new)
    files.breaks_after = 12
    with pytest.raises(UnreachableError):
        await download(new, other, files, tmp_path).run()
    first = list(files.asked)
    files.breaks_after, files.asked = None, []
    folder = await download(new, other, files, tmp_path).run()
    assert Bundle.load(folder).version_digest == new.version_digest
    again = {(path, offset) for path, offset, _ in files.asked}
    done = {(path, offset) for path, offset, _ in first if path in new.manifest.files}
    assert not again & done


async def test_part_that_a_power_cut_has_spoilt_is_fetched_anew(
    versions: tuple[Bundle, Bundle], tmp_path: Path
) -> None:
    old, new = versions
    path = max(lacking_files(old, new))
    part = part_of(VersionShelf(tmp_path / "net.bundle").parts(new.version_digest) / path)
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(new.manifest.files[path].size_bytes // 2))
    folder = await download(new, old, Files(new), tmp_path).run()
    assert Bundle.load(folder).version_digest == new.version_digest


async def test_files_in_use_that_were_written_to_are_fetched_and_refuse_no_version(
    tmp_path: Path, versions: tuple[Bundle, Bundle]
) -> None:
    old, new = make_version(tmp_path / "old", 0), versions[1]
    shared = set(new.manifest.files) - lacking_files(old, new) - {WEIGHTS_FILE}
    for path in shared:
        with (old.path / path).open("ab") as file:
            file.write(b"?")
    files = Files(new)
    folder = await download(new, old, files, tmp_path).run()
    assert Bundle.load(folder).version_digest == new.version_digest
    assert files.paths & shared


@pytest.mark.parametrize("path", ["profiles/edge.json", MANIFEST_FILE, "heads.json", "/etc/passwd"])
async def test_document_that_no_version_has_is_refused(
    versions: tuple[Bundle, Bundle], tmp_path: Path, path: str
) -> None:
    old, new = versions
    (new.path / "profiles").mkdir(exist_ok=True)
    (new.path / "profiles" / "edge.json").write_text("{}")
    offered = replace(offer_of(new), documents=(path,))
    shelf = VersionShelf(tmp_path / "net.bundle")
    fetching = VersionDownload(offered, Files(new), shelf, old, FreeLink(), sleep=at_once)
    with pytest.raises(BundleError, match="offers a file called"):
        await fetching.run()
    assert not shelf.parts(new.version_digest).exists()


@pytest.mark.parametrize("kind", ["turned", "short", "long"])
async def test_what_is_not_what_was_offered_is_refused_and_leaves_nothing(
    versions: tuple[Bundle, Bundle], tmp_path: Path, kind: str
) -> None:
    old, new = versions
    lacking = lacking_files(old, new)

    def spoil(path: str, chunk: bytes) -> bytes:
        if path not in lacking or not chunk:
            return chunk
        turned = bytes([chunk[0] ^ 1]) + chunk[1:]
        return {"turned": turned, "short": b"", "long": chunk + b"?" * (1 << 20)}[kind]

    with pytest.raises(BundleError):
        await download(new, old, Files(new, spoil), tmp_path).run()
    shelf = VersionShelf(tmp_path / "net.bundle")
    assert not shelf.parts(new.version_digest).exists()
    assert not shelf.is_ready(new.version_digest)


async def test_manifest_of_another_version_is_refused(
    versions: tuple[Bundle, Bundle], tmp_path: Path
) -> None:
    old, new = versions
    with pytest.raises(MismatchError, match="sent the manifest"):
        await download(new, old, Files(old), tmp_path).run()


async def test_disk_without_room_is_said_before_anything_is_fetched(
    versions: tuple[Bundle, Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = versions
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 100, 0))
    files = Files(new)
    with pytest.raises(FileError, match="Make room; the version in use goes on"):
        await download(new, old, files, tmp_path).run()
    assert not files.paths


async def test_disk_that_fills_meanwhile_leaves_nothing(
    versions: tuple[Bundle, Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = versions

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(WantedFile, "write", full)
    with pytest.raises(FileError, match="No space left"):
        await download(new, old, Files(new), tmp_path).run()
    assert not VersionShelf(tmp_path / "net.bundle").parts(new.version_digest).exists()


async def test_piece_waits_while_a_frame_crosses_and_not_for_ever(
    versions: tuple[Bundle, Bundle], tmp_path: Path
) -> None:
    old, new = versions
    now, link = [0.0], FreeLink()
    link.is_busy = True

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    shelf = VersionShelf(tmp_path / "net.bundle")
    fetching = VersionDownload(
        offer_of(new), Files(new), shelf, old, link, clock=lambda: now[0], sleep=sleep
    )
    await fetching.run()
    assert link.used[0][0] == pytest.approx(1.0, abs=0.02)  # its patience
    assert shelf.is_ready(new.version_digest)


async def test_device_that_holds_heads_fetches_what_they_read(
    versions: tuple[Bundle, Bundle], tmp_path: Path
) -> None:
    old, new = versions
    held = export_heads(old, tmp_path / "held", ["cut-02"])
    files = Files(new)
    folder = await download(new, held, files, tmp_path).run()
    copy = Bundle.load(folder)
    assert copy.held is not None
    assert copy.held.cuts == ("cut-02",)
    assert copy.digest == new.digest
    weights = [size for path, _, size in files.asked if path == WEIGHTS_FILE]
    assert sum(weights) == 0  # the last layer has changed, which no head reads
