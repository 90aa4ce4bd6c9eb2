"""A device does not go back to an older release, unless somebody it trusts permits it."""

import errno
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.signatures.keys import new_key
from partitioner.signatures.release_book import DeviceTrust, ReleaseBook, default_state_folder
from protos.errors import FileError, SignatureError, UsageError
from tests.kit.signatures import Signer


class Releases:
    """Two releases of one model, and the device that runs them."""

    def __init__(self, signer: Signer, bundle: Bundle, folder: Path) -> None:
        self.signer = signer
        self.old = signer.signed_copy(bundle, folder / "old", 3)
        self.new = signer.signed_copy(bundle, folder / "new", 5)
        self.state = folder / "state"
        self.trust = DeviceTrust.of(signer.trusted, self.state, required=True)

    def run(self, folder: Path) -> None:
        self.trust.remember(Bundle.load(folder, check=self.trust.check))

    @property
    def highest(self) -> int:
        return ReleaseBook(self.state).highest().get("residual", 0)


@pytest.fixture
def releases(signer: Signer, residual_bundle: Bundle, tmp_path: Path) -> Releases:
    return Releases(signer, residual_bundle, tmp_path)


def test_device_goes_forward_and_not_back(releases: Releases) -> None:
    releases.run(releases.old)
    releases.run(releases.new)
    releases.run(releases.new)
    with pytest.raises(
        SignatureError, match="is release 3 of residual, and this device has run release 5"
    ):
        releases.run(releases.old)
    assert releases.highest == 5


def test_device_that_ran_signed_releases_goes_back_to_no_unsigned_bundle(
    releases: Releases,
) -> None:
    """Or whoever takes the signature of an old release away could bring it back."""
    lenient = DeviceTrust.of(releases.signer.trusted, releases.state, required=False)
    (releases.old / "signature.json").unlink()
    lenient.remember(Bundle.load(releases.old, check=lenient.check))  # it knows of none yet
    releases.run(releases.new)
    with pytest.raises(
        SignatureError, match="not signed, and this device has run release 5 of res"
    ):
        Bundle.load(releases.old, check=lenient.check)
    careless = DeviceTrust.of(None, releases.state, required=False)
    careless.remember(Bundle.load(releases.old, check=careless.check))


def test_looking_at_a_release_is_not_running_it(releases: Releases) -> None:
    releases.trust.check(Bundle.load(releases.new))
    releases.run(releases.old)
    assert releases.highest == 3
    assert list(releases.state.iterdir())


def test_permission_lets_the_device_go_back_as_often_as_it_starts(releases: Releases) -> None:
    releases.run(releases.new)
    releases.signer.permit(releases.old, "residual", 3, 5)
    releases.run(releases.old)
    releases.run(releases.old)
    assert releases.highest == 5, "a permission that is taken away again counts no longer"
    (releases.old / "rollback.json").unlink()
    with pytest.raises(
        SignatureError, match="It goes back with a signed permission alone.* --out "
    ):
        releases.run(releases.old)


def test_permission_ends_with_the_next_release(releases: Releases) -> None:
    """So that nobody can use it again after what was wrong has been put right."""
    releases.run(releases.new)
    releases.signer.permit(releases.old, "residual", 3, 5)
    releases.run(releases.old)
    releases.signer.sign(releases.new, 6)
    releases.run(releases.new)
    with pytest.raises(SignatureError, match="has run release 6"):
        releases.run(releases.old)


@pytest.mark.parametrize(
    ("model", "to", "since", "said"),
    [
        ("other", 3, 5, "permits other to go back, and this bundle is residual"),
        ("residual", 2, 5, "It goes back with a signed permission alone"),
        ("residual", 3, 4, "It goes back with a signed permission alone"),
    ],
)
def test_permission_for_something_else_is_none(
    releases: Releases, model: str, to: int, since: int, said: str
) -> None:
    releases.run(releases.new)
    releases.signer.permit(releases.old, model, to, since)
    with pytest.raises(SignatureError, match=said):
        releases.run(releases.old)


def test_permission_of_nobody_who_is_trusted_is_refused(releases: Releases, tmp_path: Path) -> None:
    releases.run(releases.new)
    other = Signer(new_key(), tmp_path)
    other.permit(releases.old, "residual", 3, 5)
    with pytest.raises(
        SignatureError, match=f"the permission .* is of the key {other.key.public.id}"
    ):
        releases.run(releases.old)


@pytest.mark.parametrize("file", ["signature.json", ""])
def test_permission_that_is_none_is_said(releases: Releases, file: str) -> None:
    releases.run(releases.new)
    content = (releases.old / file).read_bytes() if file else b"{"
    (releases.old / "rollback.json").write_bytes(content)
    with pytest.raises(SignatureError, match="is no permission to go back"):
        releases.run(releases.old)


def test_damaged_book_is_said_and_lets_nothing_run(releases: Releases) -> None:
    releases.run(releases.old)
    (releases.state / "releases.json").write_text('{"highest": {"residual"')
    with pytest.raises(FileError, match="is damaged, so that nobody can tell which releases"):
        releases.run(releases.old)


def test_full_disk_refuses_a_new_release_and_no_old_one(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    releases.run(releases.old)
    before = (releases.state / "releases.json").read_bytes()

    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    releases.run(releases.old)
    with pytest.raises(FileError, match="No space left on device"):
        releases.run(releases.new)
    assert (releases.state / "releases.json").read_bytes() == before


def test_state_that_cannot_be_a_folder_is_said(
    signer: Signer, releases: Releases, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    trust = DeviceTrust.of(signer.trusted, tmp_path / "file" / "state", required=True)
    with pytest.raises(FileError, match="another `state`"):
        trust.remember(Bundle.load(releases.old))


def test_two_programs_forget_nothing_of_each_other(tmp_path: Path) -> None:
    names = [f"model-{number}" for number in range(24)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: ReleaseBook(tmp_path).note(name, 2), names))
    assert ReleaseBook(tmp_path).highest() == dict.fromkeys(names, 2)


def test_unsigned_bundles_need_no_state(residual_bundle: Bundle, tmp_path: Path) -> None:
    trust = DeviceTrust.of(None, tmp_path / "state", required=False)
    trust.remember(residual_bundle)
    assert not (tmp_path / "state").exists()


def test_place_of_the_state_is_systemds_then_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/splitpoint:/var/lib/other")
    assert default_state_folder() == Path("/var/lib/splitpoint")
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("XDG_STATE_HOME", "/states")
    assert default_state_folder() == Path("/states/splitpoint")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/somebody")
    assert default_state_folder() == Path("/somebody/.local/state/splitpoint")

    def homeless(_path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    with pytest.raises(UsageError, match="Give `state`"):
        default_state_folder()


def test_copies_of_a_release_are_one_release(releases: Releases, tmp_path: Path) -> None:
    shutil.copytree(releases.new, tmp_path / "copy")
    releases.run(tmp_path / "copy")
    releases.run(releases.new)
    assert releases.highest == 5
