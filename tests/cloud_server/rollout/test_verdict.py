"""The verdict on a roll-out: hand-computed shares of what devices tell."""

import pytest

from cloud_server.rollout.verdict import VersionUse, uses_of, why_back
from protos.telemetry import Telemetry, VersionSeen

NEW, OLD = "b" * 12, "a" * 12


def seen(edge: str, bundle: str = "net", **version: object) -> Telemetry:
    told = VersionSeen(**{"digest": NEW, "frames": 0, "fallbacks": 0, "faults": 0, **version})  # type: ignore[arg-type]
    return Telemetry(
        edge=edge, bundle=bundle, started_s=0.0, number=0, time_s=1.0, interval_s=1.0,
        health="healthy", health_reason="", cut="cut-02/raw", reason="", served_by={}, fallbacks={},
        switches=0, upload_bytes=0, download_bytes=0, lost_snapshots=0, stages={}, version=told,
    )  # fmt: skip


def test_uses_are_summed_over_devices_by_version() -> None:
    uses = uses_of(
        "net",
        [
            seen("1", frames=100, fallbacks=3),
            seen("2", frames=50, faults=2),
            seen("3", digest=OLD, frames=70),
            seen("4", digest=OLD, frames=30, phase="refused", offered=NEW),
            seen("5", bundle="other", frames=1000),
        ],
    )
    assert uses == {
        NEW: VersionUse(devices=2, refused=1, frames=150, fallbacks=3, faults=2),
        OLD: VersionUse(devices=2, frames=100),
    }


def test_edge_that_says_nothing_of_versions_counts_for_none() -> None:
    assert uses_of("net", [seen("1").model_copy(update={"version": None})]) == {}


NOTHING = VersionUse(), VersionUse()


@pytest.mark.parametrize(
    ("new", "before", "goes_back"),
    [
        (VersionUse(frames=200, faults=12), VersionUse(frames=1000, faults=10), False),  # 6, 1 %
        (VersionUse(frames=200, faults=13), VersionUse(frames=1000, faults=10), True),  # 6.5 %
        (VersionUse(frames=199, faults=199), VersionUse(frames=1000), False),  # too few
        (VersionUse(frames=200, faults=11), VersionUse(), True),  # 5.5 %
        (VersionUse(frames=200, fallbacks=200), VersionUse(), False),  # the link may be to blame
        (VersionUse(devices=8, refused=2), VersionUse(), True),  # 2 of 10
        (VersionUse(devices=9, refused=2), VersionUse(), False),  # 2 of 11
        (VersionUse(devices=1, refused=1), VersionUse(), False),  # one is a broken device
    ],
)
def test_version_goes_back_by_its_faults_and_refusals(
    new: VersionUse, before: VersionUse, goes_back: bool
) -> None:
    assert bool(why_back(new, before, NOTHING)) is goes_back


@pytest.mark.parametrize(
    ("new", "before", "goes_back"),
    [
        (
            VersionUse(frames=200, fallbacks=12),
            VersionUse(frames=300, fallbacks=3),
            False,
        ),  # 6, 1 %
        (VersionUse(frames=200, fallbacks=13), VersionUse(frames=300, fallbacks=3), True),  # 6.5 %
        (VersionUse(frames=200, fallbacks=200), VersionUse(frames=199), False),  # too few
        (VersionUse(frames=300, fallbacks=200), VersionUse(frames=300, fallbacks=200), False),
    ],
)
def test_fallbacks_are_compared_in_the_same_minutes_alone(
    new: VersionUse, before: VersionUse, goes_back: bool
) -> None:
    assert bool(why_back(new, before, (new, before))) is goes_back
