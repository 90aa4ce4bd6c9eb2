"""The book of roll-outs: it outlasts a restart, and says what cannot be kept."""

import asyncio
from pathlib import Path

import pytest

from cloud_server.rollout.rollout import RolloutState
from cloud_server.rollout.rollout_book import RolloutBook
from protos.errors import FileError, UnknownNameError, UsageError
from tests.kit.full_disk import full_disk

NEW, OLD = "b" * 64, "a" * 64


def files_of(folder: Path) -> list[str]:
    return [one.name for one in folder.iterdir()]


async def test_roll_outs_outlast_a_restart(tmp_path: Path) -> None:
    book = RolloutBook(tmp_path / "rollouts.json")
    book.start("net", NEW, OLD, 0.1)
    book.share("net", 0.5)
    book.set_state("net", RolloutState.BACK, "it failed")
    again = RolloutBook(tmp_path / "rollouts.json").find("net")
    assert again == book.find("net")
    assert (again.share, again.state, again.reason) == (0.5, RolloutState.BACK, "it failed")


async def test_change_that_cannot_be_kept_is_none(tmp_path: Path) -> None:
    book = RolloutBook(tmp_path / "rollouts.json")
    book.start("net", NEW, OLD, 0.1)
    book.path = tmp_path / "missing" / "rollouts.json"
    with pytest.raises(FileError, match="cannot be written"):
        book.share("net", 1.0)
    assert book.find("net").share == 0.1


async def test_damaged_book_is_refused_and_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "rollouts.json"
    path.write_text('{"rollouts": {"net": 7}}')
    with pytest.raises(FileError, match="are damaged: .*Restore the file"):
        RolloutBook(path)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
async def test_share_beyond_all_devices_is_refused(tmp_path: Path, share: float) -> None:
    with pytest.raises(UsageError, match="Give 0 to 1"):
        RolloutBook(tmp_path / "rollouts.json").start("net", NEW, OLD, share)


async def test_roll_out_of_nothing_is_refused_with_what_there_is(tmp_path: Path) -> None:
    book = RolloutBook(tmp_path / "rollouts.json")
    book.start("net", NEW, OLD, 0.1)
    with pytest.raises(UnknownNameError, match="Roll-outs are of: net"):
        book.share("other", 0.5)


async def test_full_disk_changes_nothing_but_that_a_bad_version_goes_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "rollouts.json"
    book = RolloutBook(path)
    book.start("net", NEW, OLD, 0.1)
    before, revision = path.read_bytes(), book.revision
    with full_disk():
        with pytest.raises(FileError, match=r"rollouts\.json cannot be written: File too large"):
            book.share("net", 0.5)
        assert (book.find("net").share, book.revision) == (0.1, revision)
        assert book.roll_back("net", "it fails").state is RolloutState.BACK
    assert "that net is rolled back holds until a restart" in caplog.text
    assert path.read_bytes() == before
    assert files_of(tmp_path) == ["rollouts.json"]
    assert book.share("net", 0.5).share == 0.5  # there is room again


async def test_who_waits_hears_of_a_change_even_if_it_came_before_the_wait(tmp_path: Path) -> None:
    book = RolloutBook(tmp_path / "rollouts.json")
    revision = book.revision
    waiting = asyncio.create_task(book.change(revision, 60.0))
    await asyncio.sleep(0)
    book.start("net", NEW, OLD, 0.1)
    async with asyncio.timeout(30):
        await waiting
        await book.change(revision, 60.0)
