"""The verdict on a roll-out: hand-computed shares."""

import pytest

from cloud_server.rollout.verdict import VersionUse, why_back

NOTHING = VersionUse(), VersionUse()


@pytest.mark.parametrize(
    ("new", "before", "goes_back"),
    [
        (VersionUse(frames=200, faults=12), VersionUse(frames=1000, faults=10), False),  # 6, 1 %
        (VersionUse(frames=200, faults=13), VersionUse(frames=1000, faults=10), True),  # 6.5 %
        (VersionUse(frames=199, faults=199), VersionUse(frames=1000), False),  # too few
        (VersionUse(frames=200, faults=11), VersionUse(), True),  # 5.5 %
        (VersionUse(1, frames=200, faults=200, faulty=1), VersionUse(), True),  # all that run it
        (VersionUse(9, frames=900, faults=200, faulty=1), VersionUse(), False),  # one is broken
        (VersionUse(9, frames=900, faults=200, faulty=2), VersionUse(), True),
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
        (VersionUse(5, frames=300, fallbacks=200, falling=1), VersionUse(frames=300), False),
        (VersionUse(5, frames=300, fallbacks=200, falling=2), VersionUse(frames=300), True),
    ],
)
def test_fallbacks_are_compared_in_the_same_minutes_alone(
    new: VersionUse, before: VersionUse, goes_back: bool
) -> None:
    assert bool(why_back(new, before, (new, before))) is goes_back
