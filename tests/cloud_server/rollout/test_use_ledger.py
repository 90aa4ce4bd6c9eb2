"""The ledger of use: counts that grow become frames by minute, and outages fall on both versions."""

from typing import Any

from cloud_server.rollout.use_ledger import UseLedger
from cloud_server.rollout.verdict import VersionUse
from protos.telemetry import Telemetry, VersionSeen

NEW, OLD = "b" * 12, "a" * 12


def seen(
    edge: str, digest: str, number: int, frames: int, fallbacks: int = 0, **more: Any
) -> Telemetry:
    return Telemetry(
        edge=edge, bundle="net", started_s=more.get("started_s", 0.0), number=number, time_s=1.0,
        interval_s=1.0, health="healthy", health_reason="", cut="cut-02/raw", reason="", served_by={},
        fallbacks={}, switches=0, upload_bytes=0, download_bytes=0, lost_snapshots=0, stages={},
        version=VersionSeen(digest=digest, frames=frames, fallbacks=fallbacks, faults=0),
    )  # fmt: skip


def test_counts_of_devices_become_frames_of_a_minute() -> None:
    ledger = UseLedger()
    ledger.take([seen("1", NEW, 0, 1000, 900), seen("2", OLD, 0, 5000)], 0.0)
    ledger.take([seen("1", NEW, 1, 1030, 903), seen("2", OLD, 1, 5040, 2)], 10.0)
    ledger.take([seen("1", NEW, 1, 1030, 903), seen("2", OLD, 1, 5040, 2)], 11.0)  # nothing new
    assert ledger.beside("net", NEW, OLD) == (
        VersionUse(frames=30, fallbacks=3),
        VersionUse(frames=40, fallbacks=2),
    )


def test_minutes_in_which_one_version_served_alone_are_left_out() -> None:
    ledger = UseLedger()
    ledger.take([seen("1", NEW, 0, 0), seen("2", OLD, 0, 0)], 0.0)
    ledger.take([seen("1", NEW, 1, 50), seen("2", OLD, 1, 60)], 30.0)
    ledger.take(
        [seen("1", NEW, 2, 150, 100), seen("2", OLD, 2, 61)], 90.0
    )  # an outage of one minute
    new, before = ledger.beside("net", NEW, OLD)
    assert (new.fallbacks, before.frames) == (0, 60)


def test_device_that_changes_its_version_or_starts_anew_is_counted_from_there() -> None:
    ledger = UseLedger()
    ledger.take([seen("1", OLD, 0, 500), seen("2", OLD, 0, 0)], 0.0)
    ledger.take([seen("1", NEW, 1, 20), seen("2", OLD, 1, 25)], 10.0)
    ledger.take([seen("1", NEW, 0, 5, started_s=9.0)], 20.0)
    new, _ = ledger.beside("net", NEW, OLD)
    assert new.frames == 25


def test_device_that_comes_back_to_a_version_does_not_tell_of_its_hours_again() -> None:
    ledger = UseLedger()
    ledger.take([seen("1", OLD, 0, 9000), seen("2", NEW, 0, 0)], 0.0)
    ledger.take([seen("1", NEW, 1, 20, 20), seen("2", NEW, 1, 30, 30)], 10.0)
    ledger.take([seen("1", OLD, 2, 9025, 25), seen("2", NEW, 1, 30, 30)], 20.0)
    _, before = ledger.beside("net", NEW, OLD)
    assert (before.frames, before.fallbacks) == (25, 25)


def test_ledger_forgets_what_is_an_hour_old() -> None:
    ledger = UseLedger()
    ledger.take([seen("1", NEW, 0, 0), seen("2", OLD, 0, 0)], 0.0)
    ledger.take([seen("1", NEW, 1, 50), seen("2", OLD, 1, 60)], 1.0)
    for minute in range(1, 61):
        ledger.take([], 60.0 * minute)
    assert ledger.beside("net", NEW, OLD) == (VersionUse(), VersionUse())
