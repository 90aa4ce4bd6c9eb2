"""The watch over the folder of bundles: when it looks, and what ends it."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud_server.models.folder_watch import FolderWatch, file_changes
from protos.errors import BundleError


class Looks:
    """Looks that bring one answer after another; `done` when there is none left."""

    def __init__(self, *answers: bool | Exception) -> None:
        self.answers = list(answers)
        self.done = asyncio.Event()

    async def __call__(self, *, settled: bool) -> bool:
        assert settled
        answer = self.answers.pop(0)
        if not self.answers:
            self.done.set()
        if isinstance(answer, Exception):
            raise answer
        return answer


async def watched(root: Path, looks: Looks, told: list[int | OSError]) -> None:
    """Watch until all looks were asked for; `told`: of how many changes each watch tells, or how it fails."""

    async def changes(_root: Path, _look_s: float) -> AsyncIterator[object]:
        said = told.pop(0)
        if isinstance(said, OSError):
            raise said
        for _ in range(said):
            yield None
        await asyncio.Event().wait()

    watch = asyncio.create_task(
        FolderWatch(root, looks, settle_s=0, look_s=0, changes=changes).run()
    )
    await looks.done.wait()
    await asyncio.sleep(0)
    assert not watch.done()
    watch.cancel()
    await asyncio.wait([watch])
    assert watch.cancelled()


async def test_folder_is_looked_at_once_a_change_and_again_until_it_has_settled(
    tmp_path: Path,
) -> None:
    await watched(tmp_path, Looks(True, False, False, True, True), [3])


async def test_look_that_fails_ends_no_later_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await watched(tmp_path, Looks(BundleError("no folder."), ZeroDivisionError("bug"), True), [3])
    (said,) = caplog.records
    assert said.getMessage() == f"looking at {tmp_path} has failed, and goes on"


async def test_folder_that_cannot_be_watched_is_looked_at_now_and_then(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refusals: list[int | OSError] = [OSError("too many watches.") for _ in range(3)]
    await watched(tmp_path, Looks(True, False, True, True, True), [*refusals, 1])
    (said,) = caplog.records
    assert "cannot be watched: too many watches. It is looked at every 0 s" in said.getMessage()


async def test_folder_that_was_replaced_is_watched_anew(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()

    class Replacing(Looks):
        async def __call__(self, *, settled: bool) -> bool:
            if len(self.answers) == 3:
                root.rename(tmp_path / "old")
                root.mkdir()
            return await super().__call__(settled=settled)

    told: list[int | OSError] = [9, 1]
    await watched(root, Replacing(True, True, True), told)
    assert not told


async def test_system_tells_of_files_that_change_and_of_a_folder_that_goes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    number = itertools.count()

    def write() -> None:
        (root / "a" / "bundle.json").write_text(str(next(number)))

    def move() -> None:
        if root.exists():
            root.rename(tmp_path / "gone")

    changes = aiter(file_changes(root, look_s=30))
    for change in (write, move):
        told = asyncio.ensure_future(anext(changes))
        while not told.done():  # a thread of its own begins to watch
            change()
            await asyncio.wait([told], timeout=0.1)
        assert told.result()
    await changes.aclose()  # type: ignore[attr-defined]


async def test_time_is_up_where_the_system_tells_nothing(tmp_path: Path) -> None:
    changes = aiter(file_changes(tmp_path, look_s=0.01))
    assert await anext(changes) == set()
    await changes.aclose()  # type: ignore[attr-defined]


async def test_missing_folder_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="path"):
        await anext(aiter(file_changes(tmp_path / "missing", 30)))
