"""What runs is what the digest says, whatever becomes of a bundle's folder after it was loaded."""

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import WEIGHTS_FILE
from partitioner.runtime.sessions import random_feeds
from protos.errors import BundleError
from protos.names import EDGE
from tests.kit.versions import two_versions


@pytest.fixture
def versions(tmp_path: Path) -> tuple[Path, Path]:
    return two_versions(tmp_path)


def answers(bundle: Bundle, cut: str) -> np.ndarray:
    feeds = random_feeds(bundle.inputs, np.random.default_rng(0))
    values = bundle.open_head(cut).run(feeds)
    if cut != EDGE:
        values = {**values, **bundle.open_tail(cut).run({**feeds, **values})}
    return values[bundle.outputs[0].name]


def replaced_whole(old: Path, new: Path) -> None:
    shutil.move(old, old.with_name("aside"))
    shutil.copytree(new, old)
    shutil.rmtree(old.with_name("aside"))


def replaced_file_by_file(old: Path, new: Path) -> None:
    """As `rsync` does: each file appears beside the old one and takes its name."""
    for source in sorted(path for path in new.rglob("*") if path.is_file()):
        target = old / source.relative_to(new)
        beside = target.with_name(f".{target.name}")
        shutil.copyfile(source, beside)
        beside.rename(target)


def removed(old: Path, _new: Path) -> None:
    shutil.rmtree(old)


@pytest.mark.parametrize("replace", [replaced_whole, replaced_file_by_file, removed])
def test_bundle_whose_folder_is_replaced_answers_as_it_was_loaded(
    versions: tuple[Path, Path], replace: Callable[[Path, Path], None]
) -> None:
    old, new = versions
    loaded = Bundle.load(old)
    cuts = list(loaded.cuts)
    before = {cut: answers(Bundle.load(old), cut) for cut in cuts}
    assert not np.allclose(answers(Bundle.load(new), EDGE), before[EDGE])
    replace(old, new)
    for cut in cuts:
        np.testing.assert_array_equal(answers(loaded, cut), before[cut])


def test_file_that_is_written_to_in_place_is_an_error_and_no_mixture(
    versions: tuple[Path, Path],
) -> None:
    old, new = versions
    loaded = Bundle.load(old)
    for path in (path for path in new.rglob("*") if path.is_file()):
        (old / path.relative_to(new)).write_bytes(path.read_bytes())
    with pytest.raises(BundleError, match="model.onnx of old was written to since .* Start again"):
        answers(loaded, EDGE)


def test_session_that_runs_does_not_see_what_is_written_to_its_weights(
    versions: tuple[Path, Path],
) -> None:
    old, _ = versions
    loaded = Bundle.load(old)
    feeds = random_feeds(loaded.inputs, np.random.default_rng(0))
    whole, name = loaded.open_head(EDGE), loaded.outputs[0].name
    before = whole.run(feeds)[name]
    (old / WEIGHTS_FILE).write_bytes(bytes((old / WEIGHTS_FILE).stat().st_size))
    np.testing.assert_array_equal(whole.run(feeds)[name], before)


def test_copy_that_is_half_done_is_refused(versions: tuple[Path, Path]) -> None:
    old, new = versions
    shutil.copyfile(new / "bundle.json", old / "bundle.json")
    with pytest.raises(BundleError, match="is damaged"):
        Bundle.load(old)


def test_file_with_a_new_time_and_its_old_bytes_is_used(versions: tuple[Path, Path]) -> None:
    old, _ = versions
    loaded = Bundle.load(old)
    before = answers(Bundle.load(old), EDGE)
    os.utime(old / WEIGHTS_FILE)
    np.testing.assert_array_equal(answers(loaded, EDGE), before)


def test_file_that_has_settled_is_not_hashed_again(
    versions: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = versions
    later_ns = time.time_ns() + 10_000_000_000
    monkeypatch.setattr("partitioner.bundle.contents.time.time_ns", lambda: later_ns)
    loaded = Bundle.load(old)
    monkeypatch.setattr("partitioner.bundle.contents._matches", lambda *_: pytest.fail("hashed"))
    loaded.open_head(EDGE)


def test_file_system_that_knows_no_holes_is_read_whole(
    versions: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: int) -> int:
        raise OSError(errno.EINVAL, "no holes here")

    loaded = Bundle.load(versions[0])
    monkeypatch.setattr("partitioner.bundle.contents.os.lseek", refused)
    assert bytes(loaded.contents.read(WEIGHTS_FILE)) == (versions[0] / WEIGHTS_FILE).read_bytes()


def test_exits_and_calibration_are_those_that_were_loaded(exiting: Bundle) -> None:
    loaded = Bundle.load(exiting.path)
    assert loaded.exits is not None
    (exiting.path / "exits.npz").unlink()
    assert list(loaded.known_exits().by_cut) == list(exiting.known_exits().by_cut)
    cut = next(iter(loaded.known_exits().by_cut))
    assert loaded.open_exit(cut) is not None


def test_files_are_closed_with_the_last_reference(versions: tuple[Path, Path]) -> None:
    def held() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = held()
    loaded = Bundle.load(versions[0])
    assert held() > before
    narrowed = loaded.only([])
    del loaded
    assert held() > before
    del narrowed
    assert held() == before


def under_limits(folder: Path, soft: int, hard: int) -> str:
    """Load a bundle ten times in a process that may open so many files; return what it prints."""
    code = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "from partitioner.bundle.bundle import Bundle\n"
        "from protos.errors import BundleError\n"
        "try:\n"
        f"    print(len([Bundle.load({str(folder)!r}) for _ in range(10)]))\n"
        "except BundleError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_more_bundles_than_files_at_first_are_loaded_and_more_than_ever_named(
    versions: tuple[Path, Path],
) -> None:
    folder = versions[0]
    each = len(Bundle.load(folder).manifest.files)
    assert under_limits(folder, 30 + each, 1000 + 10 * each).strip() == "10"
    said = under_limits(folder, 30 + each, 30 + each)
    assert "Too many open files" in said
    assert "ulimit -n" in said
    assert "again" not in said
