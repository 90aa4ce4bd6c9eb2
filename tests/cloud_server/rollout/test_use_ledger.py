"""The ledger of use: counts that grow become sums and frames by minute, and a roll-out begins at none."""

from collections.abc import Iterable
from typing import Any

import pytest

from cloud_server.rollout.use_ledger import UseLedger
from cloud_server.rollout.verdict import VersionUse
from protos.telemetry import Telemetry, VersionSeen

NEW, OLD = "b" * 12, "a" * 12
NONE = VersionUse(), VersionUse()


def seen(
    edge: str, digest: str, number: int, frames: int, fallbacks: int = 0, **more: Any
) -> Telemetry:
    """What an edge tells that has served so many frames by a version, and `all` by all in this run."""
    version = {
        "faults": 0,
        **{name: more.pop(name) for name in set(more) & set(VersionSeen.model_fields)},
    }
    return Telemetry(
        edge=edge, bundle=more.get("bundle", "net"), started_s=more.get("started_s", 0.0), number=number,
        time_s=1.0, interval_s=1.0, health="healthy", health_reason="", cut="cut-02/raw", reason="",
        served_by={"cloud": more.get("all", frames)}, fallbacks={}, switches=0, upload_bytes=0,
        download_bytes=0, lost_snapshots=0, stages={},
        version=VersionSeen(digest=digest, frames=frames, fallbacks=fallbacks, **version),
    )  # fmt: skip


def refusing(edge: str, number: int, reason: str = "") -> Telemetry:
    """What an edge tells that has gone back to the old version."""
    return seen(edge, OLD, number, 100, phase="refused", offered=NEW, reason=reason)


class Ledger(UseLedger):
    """Books all versions of the bundle `net`."""

    def hear(self, snapshots: Iterable[Telemetry], now_s: float = 0.0) -> None:
        self.take(snapshots, now_s, lambda key: key[0] == "net")


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def test_uses_are_summed_over_devices_by_version(ledger: Ledger) -> None:
    ledger.hear(
        [
            seen("1", NEW, 0, 100, 3),
            seen("2", NEW, 0, 50, faults=2),
            seen("3", OLD, 0, 70),
            seen("4", OLD, 0, 30, phase="refused", offered=NEW, reason="it is broken"),
            seen("5", NEW, 0, 1000, bundle="other"),
            seen("6", NEW, 0, 7).model_copy(update={"version": None}),
        ]
    )
    assert ledger.use("net", NEW) == VersionUse(2, 1, 150, 3, 2, ("it is broken",))
    assert ledger.use("net", OLD) == VersionUse(2, 0, 100)
    assert ledger.use("other", NEW) == VersionUse()
    ledger.hear([seen("4", NEW, 1, 10, all=40), seen("2", NEW, 1, 60, faults=2)])
    assert ledger.use("net", NEW) == VersionUse(3, 0, 170, 3, 2)
    assert ledger.use("net", OLD) == VersionUse(1, 0, 100)


def test_counts_of_devices_become_frames_of_a_minute(ledger: Ledger) -> None:
    ledger.hear([seen("1", NEW, 0, 1000, 900), seen("2", OLD, 0, 5000)], 0.0)
    again = [seen("1", NEW, 1, 1030, 903), seen("2", OLD, 1, 5040, 2)]
    ledger.hear(again, 10.0)
    ledger.hear(again, 11.0)  # sent twice, as the answer was lost
    assert ledger.beside("net", NEW, OLD) == (
        VersionUse(frames=30, fallbacks=3),
        VersionUse(frames=40, fallbacks=2),
    )


def test_minutes_in_which_one_version_served_alone_are_left_out(ledger: Ledger) -> None:
    ledger.hear([seen("1", NEW, 0, 0), seen("2", OLD, 0, 0)], 0.0)
    ledger.hear([seen("1", NEW, 1, 50), seen("2", OLD, 1, 60)], 30.0)
    ledger.hear([seen("1", NEW, 2, 150, 100), seen("2", OLD, 2, 61)], 90.0)  # an outage of a minute
    new, before = ledger.beside("net", NEW, OLD)
    assert (new.fallbacks, before.frames) == (0, 60)


def test_device_that_changes_its_version_or_starts_anew_is_counted_from_there(
    ledger: Ledger,
) -> None:
    ledger.hear([seen("1", OLD, 0, 500), seen("2", OLD, 0, 0)], 0.0)
    ledger.hear([seen("1", NEW, 1, 20, all=530), seen("2", OLD, 1, 25)], 10.0)
    ledger.hear([seen("1", NEW, 0, 5, started_s=9.0)], 20.0)
    new, _ = ledger.beside("net", NEW, OLD)
    assert new.frames == 25


def test_version_of_which_a_server_that_was_away_has_not_heard_tells_of_its_hours_to_nobody(
    ledger: Ledger,
) -> None:
    ledger.hear([seen("1", NEW, 7, 20, all=9020), seen("2", NEW, 0, 0)], 0.0)
    ledger.hear([seen("1", OLD, 8, 9025, 800, all=9045), seen("2", NEW, 1, 40)], 10.0)
    assert ledger.beside("net", NEW, OLD) == NONE
    ledger.hear([seen("1", OLD, 9, 9055, 801, all=9075)], 20.0)
    _, before = ledger.beside("net", NEW, OLD)
    assert (before.frames, before.fallbacks) == (30, 1)


def test_device_that_comes_back_to_a_version_does_not_tell_of_its_hours_again(
    ledger: Ledger,
) -> None:
    ledger.hear([seen("1", OLD, 0, 9000), seen("2", NEW, 0, 0)], 0.0)
    ledger.hear([seen("1", NEW, 1, 20, 20, all=9020), seen("2", NEW, 1, 30, 30)], 10.0)
    ledger.hear([seen("1", OLD, 2, 9025, 25, all=9045), seen("2", NEW, 1, 30, 30)], 20.0)
    _, before = ledger.beside("net", NEW, OLD)
    assert (before.frames, before.fallbacks) == (25, 25)


def test_ledger_forgets_what_is_an_hour_old(ledger: Ledger) -> None:
    ledger.hear([seen("1", NEW, 0, 0), seen("2", OLD, 0, 0)], 0.0)
    ledger.hear([seen("1", NEW, 1, 50), seen("2", OLD, 1, 60)], 1.0)
    for minute in range(1, 61):
        ledger.hear([], 60.0 * minute)
    assert ledger.beside("net", NEW, OLD) == NONE


def test_roll_out_that_begins_again_counts_neither_old_frames_nor_old_refusals(
    ledger: Ledger,
) -> None:
    ledger.begin("net", NEW, again=False)
    ledger.hear([seen("1", NEW, 0, 300, faults=90), refusing("2", 0), refusing("3", 0)])
    assert ledger.since("net", NEW) == VersionUse(1, 2, 300, 0, 90, faulty=1)
    ledger.begin("net", NEW, again=True)
    assert ledger.since("net", NEW) == VersionUse(1, 0)
    assert ledger.use("net", NEW) == VersionUse(1, 2, 300, 0, 90)
    ledger.hear(
        [
            seen("1", NEW, 1, 310, faults=91),
            refusing("2", 1),  # it says so still
            seen("3", OLD, 1, 100, phase="trial", offered=NEW),
            refusing("3", 2),  # it has tried again
        ]
    )
    assert ledger.since("net", NEW) == VersionUse(1, 1, 10, 0, 1, faulty=1)


def test_refusals_are_told_by_reason_the_most_frequent_first_and_a_few_alone(
    ledger: Ledger,
) -> None:
    ledger.hear([refusing("0", 0, "of before")])
    ledger.begin("net", NEW, again=True)
    reasons = ["rare", "often", "often", "often", "twice", "twice", "odd"]
    for number, reason in enumerate(reasons, start=1):
        ledger.hear([seen(str(number), OLD, 0, 1), refusing(str(number), 1, reason)])
    assert ledger.refusals("net", NEW) == [("often", 3), ("twice", 2), ("rare", 1)]
    assert ledger.refusals("net", OLD) == []


def test_after_a_restart_what_was_told_before_a_roll_out_began_again_is_not_told_anew(
    ledger: Ledger,
) -> None:
    told = [seen("1", NEW, 5, 300, faults=90), refusing("2", 3), refusing("3", 3)]
    ledger.begin("net", NEW, again=True)
    ledger.hear(told)
    assert ledger.since("net", NEW) == VersionUse(1, 0)
    other = Ledger()  # of a roll-out that was never rolled back
    other.hear(told)
    assert other.since("net", NEW) == VersionUse(1, 2, 300, 0, 90, faulty=1)


def test_devices_that_are_silent_or_too_many_are_no_part_of_the_fleet() -> None:
    ledger = Ledger(capacity=3)
    ledger.hear([seen("1", NEW, 0, 5), refusing("2", 0, "bad"), refusing("3", 0)])
    ledger.hear([seen("4", NEW, 0, 5)], 100.0)
    assert ledger.use("net", NEW) == VersionUse(1, 2, 10, reasons=("bad",))
    ledger.hear([], 86_400.0)
    assert ledger.use("net", NEW) == VersionUse(1, 0, 10)
    assert ledger.use("net", OLD).devices == 0


def test_fleet_of_thousands_is_counted_and_a_report_costs_the_same(ledger: Ledger) -> None:
    ledger.hear(seen(str(number), NEW, 0, 10) for number in range(3000))
    ledger.hear(seen(str(number), NEW, 1, 11) for number in range(3000))
    assert ledger.use("net", NEW) == VersionUse(3000, 0, 33_000)


def test_versions_that_nobody_has_take_no_place(ledger: Ledger) -> None:
    ledger.take(
        [seen("1", f"{number:012x}", number, 0, bundle="net") for number in range(100)],
        0.0,
        lambda key: key == ("net", NEW),
    )
    assert not ledger._totals
    assert len(ledger._devices) == 1
