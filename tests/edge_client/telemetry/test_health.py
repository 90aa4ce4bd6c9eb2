"""Health: from what was seen to one word, with hysteresis."""

import pytest

from edge_client.telemetry.health import FailingShare, Health, HealthSettings, Signs, State, judge

LIMITS = HealthSettings(offline_after_s=1.0, degraded_share=0.1, healthy_share=0.02, settle_s=3.0)
WELL = State(Health.HEALTHY, "as it was", 0.0, 0.0)
GOOD = Signs(0.0, None)


def history(*steps: tuple[float, Signs], state: State = WELL) -> list[Health]:
    found = []
    for now_s, signs in steps:
        state = judge(signs, state, now_s, LIMITS)
        found.append(state.health)
    return found


def test_cloud_that_is_away_degrades_at_once_and_is_offline_after_a_second() -> None:
    assert history((10.0, Signs(0.0, 0.0)), (10.9, Signs(0.0, 0.9)), (11.0, Signs(0.0, 1.0))) == [
        Health.DEGRADED,
        Health.DEGRADED,
        Health.OFFLINE,
    ]


def test_recovery_goes_by_degraded_and_takes_the_settling_time() -> None:
    gone = State(Health.OFFLINE, "away", 0.0)
    found = history((5.0, GOOD), (7.9, GOOD), (8.0, GOOD), state=gone)
    assert found == [Health.DEGRADED, Health.DEGRADED, Health.HEALTHY]
    relapse = history((5.0, GOOD), (6.0, Signs(0.5, None)), (8.5, GOOD), (11.4, GOOD), state=gone)
    assert relapse == [Health.DEGRADED] * 4  # settling began anew at 8.5 s
    assert history((1.0, Signs(0.0, 0.1)), state=gone) == [Health.OFFLINE]


@pytest.mark.parametrize(
    ("share", "from_healthy", "from_degraded"),
    [
        (0.02, Health.HEALTHY, Health.HEALTHY),
        (0.05, Health.HEALTHY, Health.DEGRADED),
        (0.1, Health.DEGRADED, Health.DEGRADED),
    ],
)
def test_share_between_the_thresholds_changes_nothing(
    share: float, from_healthy: Health, from_degraded: Health
) -> None:
    signs = Signs(share, None)
    assert history((1.0, signs), (9.0, signs))[-1] is from_healthy
    ill = State(Health.DEGRADED, "failing", 0.0)
    assert history((1.0, signs), (9.0, signs), state=ill)[-1] is from_degraded


def test_cloud_that_answers_too_late_degrades_and_is_never_offline() -> None:
    late = Signs(1.0, None, lost_share=1.0, late="answers come too late")
    assert history((1.0, late), (9.0, late)) == [Health.DEGRADED] * 2
    assert judge(late, WELL, 1.0, LIMITS).reason == "answers come too late"
    quiet = Signs(0.0, None, late="answers come too late")  # no frame has tried it for a while
    assert judge(quiet, judge(late, WELL, 1.0, LIMITS), 9.0, LIMITS).well_since_s is None


def test_state_keeps_its_moment_while_it_lasts_and_its_reason_is_of_now() -> None:
    first = judge(Signs(0.4, None), WELL, 2.0, LIMITS)
    assert first == State(Health.DEGRADED, "40% of the last frames were finished here", 2.0)
    later = judge(Signs(0.3, None), first, 3.0, LIMITS)
    assert (later.reason, later.since_s) == ("30% of the last frames were finished here", 2.0)


def test_reason_tells_frames_that_were_finished_here_from_lost_ones() -> None:
    lost = judge(Signs(0.9, None, lost_share=0.25), WELL, 2.0, LIMITS)
    assert lost.reason == "90% of the last frames were not served by the cloud, 25% by nobody"
    nobody = judge(Signs(0.25, None, lost_share=0.25), WELL, 2.0, LIMITS)
    assert nobody.reason == "25% of the last frames were served by nobody"


def reasons(*steps: tuple[float, Signs]) -> list[str]:
    found, state = [], WELL
    for now_s, signs in steps:
        state = judge(signs, state, now_s, LIMITS)
        found.append(state.reason)
    return found


def test_cloud_is_back_only_where_it_was_away() -> None:
    well, lost = Signs(0.0, None, frames=9), Signs(0.5, None, lost_share=0.5, frames=9)
    alone = reasons((1.0, lost), (2.0, Signs(0.05, None, frames=9)), (3.0, well), (6.0, well))
    assert alone == [
        "50% of the last frames were served by nobody",
        "5% of the last frames were finished here",  # no longer bad, and not good yet
        "frames no longer fail, and that has to last",
        "frames are served as they are meant to be",
    ]
    away = Signs(0.0, 0.5, absence="the cloud refuses connections", frames=9)
    for first in (away, Signs(0.0, None, late="answers come too late")):
        back = reasons((1.0, first), (2.0, well), (5.0, well), (6.0, lost), (7.0, well))
        assert back[1] == "the cloud is back, and has to show that it stays"
        assert back[2] == "the cloud is back, and frames are served as they are meant to be"
        assert back[4] == "frames no longer fail, and that has to last"


def test_failing_share_fades_by_half_in_its_half_life() -> None:
    share = FailingShare(half_life_s=2.0)
    assert share.value(0.0) == 0.0
    share.add(True, 10.0)
    assert share.value(10.0) == 1.0
    # 2 s later the failure counts 1/2, and of 1/2 + 1 frames it is the only one: 0.5 / 1.5.
    share.add(False, 12.0)
    assert share.value(12.0) == pytest.approx(1 / 3)
    # 4 s later 1/8 of a failure is left, and less than one frame to compare it with.
    assert share.value(16.0) == pytest.approx(0.125)


def test_cause_is_of_now_and_so_are_its_seconds() -> None:
    refuses, other = "the cloud refuses connections", "the cloud has another version of this bundle"
    first = judge(Signs(0.0, 5.0, absence=refuses), WELL, 10.0, LIMITS)
    assert (first.cause, first.reason) == (refuses, f"{refuses}, for 5.00 s by now")
    turned = judge(Signs(0.0, 7.0, absence=other), first, 12.0, LIMITS)
    assert (turned.health, turned.cause_since_s, turned.reason) == (Health.OFFLINE, 12.0, other)
    later = judge(Signs(0.0, 9.0, absence=other), turned, 14.0, LIMITS)
    assert later.reason == f"{other}, for 2.00 s by now"
    late = judge(Signs(0.0, None, late="answers come too late"), later, 15.0, LIMITS)
    assert (late.health, late.cause) == (Health.DEGRADED, "the cloud answers too late")
    assert judge(GOOD, late, 16.0, LIMITS).cause == ""
