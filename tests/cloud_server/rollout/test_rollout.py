"""A roll-out as plain data: sticky and monotone shares, and where each state sends a device."""

from hypothesis import given
from hypothesis import strategies as st

from cloud_server.rollout.rollout import Rollout, RolloutState, position

NEW, OLD, OTHER = "b" * 64, "a" * 64, "c" * 64
DEVICES = [f"camera-{number}" for number in range(2000)]
SHARES = st.floats(0, 1)


def rollout(share: float, state: RolloutState = RolloutState.RUNNING) -> Rollout:
    return Rollout(name="net", version_digest=NEW, before_digest=OLD, share=share, state=state)


@given(st.text(max_size=40), SHARES, SHARES)
def test_larger_share_has_every_device_of_a_smaller_one(
    device: str, one: float, two: float
) -> None:
    small, large = sorted((one, two))
    assert not rollout(small).includes(device) or rollout(large).includes(device)


@given(st.text(max_size=40))
def test_nobody_is_in_no_share_and_everybody_in_all(device: str) -> None:
    assert not rollout(0.0).includes(device)
    assert rollout(1.0).includes(device)


def test_share_is_about_that_share_of_the_devices() -> None:
    # 2,000 devices at 10 %: a standard deviation is sqrt(2000 * 0.1 * 0.9) = 13.4; five of them.
    found = sum(rollout(0.1).includes(device) for device in DEVICES)
    assert abs(found - 200) <= 67


def test_it_is_not_always_the_same_devices_that_come_first() -> None:
    first = {device for device in DEVICES if position(device, NEW) < 0.1}
    again = {device for device in DEVICES if position(device, OTHER) < 0.1}
    assert len(first & again) < len(first) / 2


def test_only_devices_that_have_to_move_are_told_of_a_version() -> None:
    everybody, nobody = rollout(1.0), rollout(0.0)
    assert everybody.target("one", OLD)[0] == NEW
    assert everybody.target("one", NEW)[0] == NEW
    assert nobody.target("one", OLD)[0] == ""
    assert nobody.target("one", OTHER)[0] == ""
    assert nobody.target("one", NEW)[0] == OLD


def test_held_roll_out_moves_nobody_and_one_that_is_back_only_those_who_have_it() -> None:
    held, back = rollout(1.0, RolloutState.HELD), rollout(1.0, RolloutState.BACK)
    assert {held.target("one", running)[0] for running in (OLD, NEW, OTHER)} == {""}
    assert [back.target("one", running)[0] for running in (OLD, NEW, OTHER)] == ["", OLD, ""]
