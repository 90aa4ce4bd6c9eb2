"""Dividing inputs: in proportion, with a seed, whatever their order is."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from partitioner.inputs.division import choose_share


@given(st.lists(st.integers(0, 5), max_size=300), st.integers(0, 300))
def test_each_group_has_its_share_within_one(groups: list[int], count: int) -> None:
    chosen = choose_share(groups, count)
    assert chosen.sum() == min(count, len(groups))
    mine = Counter(group for group, is_mine in zip(groups, chosen, strict=True) if is_mine)
    for group, members in Counter(groups).items():
        share = members * chosen.sum() / len(groups)
        assert abs(mine[group] - share) <= len(set(groups))


def test_division_is_the_same_each_time_and_another_with_another_seed() -> None:
    groups = [0] * 100
    assert (choose_share(groups, 20) == choose_share(groups, 20)).all()
    assert (choose_share(groups, 20) != choose_share(groups, 20, seed=1)).any()


def test_no_place_within_a_group_is_left_out_for_ever() -> None:
    hits = sum(choose_share([0] * 20, 5, seed).astype(int) for seed in range(400))
    assert np.min(hits) > 60  # 100 expected
