"""The control of roll-outs: where devices go back to, and a disk that refuses to keep that they do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_server.rollout import rollout_book
from cloud_server.rollout.rollout import RolloutState
from cloud_server.rollout.rollout_book import RolloutBook
from cloud_server.rollout.rollout_control import RolloutControl
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos.errors import FileError
from protos.telemetry import DIGEST_SHOWN, Telemetry, VersionSeen, read_snapshot
from tests.kit.snapshots import snapshot
from tests.kit.versions import make_version


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, ...]:
    folder = tmp_path_factory.mktemp("bundles")
    return tuple(make_version(folder / str(number), number) for number in range(3))


@pytest.fixture
def control(versions: tuple[Bundle, ...], tmp_path: Path) -> Iterator[RolloutControl]:
    root = versions[0].path.parent
    with CloudServer(bundles=root, rollouts=tmp_path / "rollouts.json") as server:
        yield server.rollouts


@pytest.mark.parametrize(("share", "back_to_second"), [(0.1, False), (1.0, True)])
def test_devices_go_back_to_where_most_of_them_were(
    control: RolloutControl, versions: tuple[Bundle, ...], share: float, *, back_to_second: bool
) -> None:
    one, two, three = (bundle.version_digest for bundle in versions)
    control.start("net", two, share)
    before = control.book.find("net").before_digest
    assert before in {one, three}
    third = next(digest for digest in (one, three) if digest != before)
    started = control.start("net", third, 0.1)
    assert started.before_digest == (two if back_to_second else before)


def test_bad_version_is_rolled_back_also_where_the_disk_cannot_keep_that(
    control: RolloutControl, versions: tuple[Bundle, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = versions[1].version_digest
    control.start("net", digest, 1.0)
    monkeypatch.setattr("cloud_server.rollout.rollout_control.why_back", lambda *_: "it is bad")

    def full(_path: Path) -> None:
        raise FileError("No space left on device.")

    monkeypatch.setattr(rollout_book, "whole_file", full)
    control.hear(())  # telemetry of devices is taken all the same
    assert control.book.find("net").state is RolloutState.BACK
    with pytest.raises(FileError):
        control.steer("net", "resume", "", 0.0)
    assert control.book.find("net").state is RolloutState.BACK


def test_roll_out_that_went_back_by_itself_goes_on_when_told_to_and_is_judged_anew(
    control: RolloutControl, versions: tuple[Bundle, ...]
) -> None:
    new = versions[1].version_digest
    control.start("net", new, 1.0)

    def hear(number: int, frames: int, faults: int) -> RolloutState:
        control.hear([served_by(new, number, frames, faults)])
        return control.book.find("net").state

    assert hear(0, 300, 90) is RolloutState.BACK
    control.steer("net", "resume", "", 0.0)
    assert hear(1, 310, 90) is RolloutState.RUNNING
    assert hear(2, 499, 91) is RolloutState.RUNNING
    assert hear(3, 700, 140) is RolloutState.BACK  # 50 of 400 since then
    control.start("net", new, 1.0)
    assert hear(4, 710, 140) is RolloutState.RUNNING
    again = RolloutControl(control._store, RolloutBook(control.book.path))  # after a restart
    again.hear([served_by(new, 5, 720, 140)])
    assert again.book.find("net").state is RolloutState.RUNNING


def test_why_devices_refused_what_went_back_is_kept_and_logged_once(
    control: RolloutControl, versions: tuple[Bundle, ...], caplog: pytest.LogCaptureFixture
) -> None:
    old, new = versions[0].version_digest, versions[1].version_digest
    control.start("net", new, 1.0)
    why = "cut-01 is not the whole model\nERROR forged"
    refused = {"phase": "refused", "offered": new[:DIGEST_SHOWN], "reason": why}

    def hear(number: int, **told: str) -> None:
        control.hear([served_by(old, number, 10, 0, edge, **told) for edge in ("a", "b")])

    hear(0, **refused)
    hear(1)  # back with the version before, they tell of nothing any more
    assert control.use(control.book.find("net"), new=True).reasons == ()
    for book in (control.book, RolloutBook(control.book.path)):
        found = book.find("net")
        assert found.reason == "of 2 devices that tried it 2 have refused it"
        assert [(one.reason, one.devices) for one in found.refusals] == [(why, 2)]
    line = r"Refused by 2 devices: cut-01 is not the whole model\nERROR forged"
    assert caplog.text.count(line) == 1
    assert control.steer("net", "back", "", 0.0).refusals == found.refusals
    assert control.steer("net", "resume", "", 0.0).refusals == ()


def served_by(
    digest: str, number: int, frames: int, faults: int, edge: str = "cam-1", **told: str
) -> Telemetry:
    """What a device tells that has served so many frames by a version."""
    version = VersionSeen(
        digest=digest[:DIGEST_SHOWN], frames=frames, fallbacks=0, faults=faults, **told
    )
    served = {"served_by": {"cloud": frames}, "version": version.model_dump()}
    return read_snapshot(snapshot(edge, number, bundle="net", **served))
