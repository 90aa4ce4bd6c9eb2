"""The plan where nothing finishes here: exits, or the cloud."""

from dataclasses import replace
from pathlib import Path

import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.head_export import export_heads
from partitioner.network.link import Link
from partitioner.planning.plan import plan
from partitioner.profiles.store import find_profiles
from protos.errors import ProfileError
from tests.kit.profiles import profile_of, profile_of_heads


def test_plan_of_heads_is_that_of_the_whole_without_what_is_not_there(
    middle_head: Bundle, residual_bundle: Bundle
) -> None:
    edge, cloud, link = (
        profile_of(residual_bundle, 0.02),
        profile_of(residual_bundle, 0.001),
        Link(1e6, 1e6, 0.05),
    )
    full = plan(residual_bundle, link, edge, cloud)
    wanted = [option for option in full.options if option.cut in middle_head.cuts]
    heads = profile_of_heads(edge, middle_head)
    for bundle, profile in ((middle_head, edge), (middle_head, heads), (residual_bundle, heads)):
        made = plan(bundle, link, profile, cloud)
        # All but what finishing a frame would take here, of which there is no way.
        assert list(made.options) == [replace(option, finish_s=None) for option in wanted]
        assert made.heads_only
        assert made.best.cut in middle_head.cuts
    assert not full.heads_only


def test_plan_says_what_exits_are_worth_without_a_cloud(exiting: Bundle, tmp_path: Path) -> None:
    held = export_heads(exiting, tmp_path / "held")
    edge, cloud, link = profile_of(exiting, 0.02), profile_of(exiting, 0.001), Link(1e6, 1e6, 0.05)
    full = plan(exiting, link, edge, cloud)
    assert all(option.last_resort is None for option in full.options)
    exits = exiting.known_exits().by_cut
    for option in plan(held, link, profile_of_heads(edge, held), cloud).options:
        if option.cut not in exits:
            assert option.last_resort is None
            continue
        found, head = exits[option.cut], edge.cuts[option.cut].head
        assert option.last_resort is not None
        assert head is not None
        agreeing = found.outcomes.agrees.sum() / len(found.outcomes.agrees)
        assert option.last_resort.agreement == pytest.approx(agreeing)
        assert option.last_resort.exit_s == found.meta.head_share * head.timing.median_s


def test_cloud_cannot_be_assumed_from_a_profile_of_heads(middle_head: Bundle) -> None:
    edge = profile_of_heads(profile_of(middle_head, 0.02), middle_head)
    edge.save(middle_head.profiles / "edge.json")
    with pytest.raises(ProfileError, match=r"heads alone.*splitpoint profile .* --cloud HOST:PORT"):
        find_profiles(middle_head, cloud_scale=0.2)
