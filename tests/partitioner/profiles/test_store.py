"""Profiles on disk: which are found, and which are refused."""

import json
from pathlib import Path

import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.profiles.profile import Profile
from partitioner.profiles.store import find_profiles
from protos.errors import ProfileError
from tests.kit.profiles import EXAMPLE, make, stage


def test_profiles_survive_the_disk(tmp_path: Path) -> None:
    _, profile = make(EXAMPLE)
    profile.save(tmp_path / "p.json")
    assert Profile.load(tmp_path / "p.json") == profile
    assert [path.name for path in tmp_path.iterdir()] == ["p.json"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "cannot be read"),
        ("[" * 200_000, "it is no JSON"),
        ("[]", "no profile"),
        ('{"schema_version": 9}', "schema version 9"),
    ],
)
def test_unreadable_profile_is_refused(text: str, match: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(ProfileError, match=match):
        Profile.load(tmp_path / "p.json")


@pytest.mark.parametrize("seconds", ["Infinity", "NaN", "1e308", "-1", '"x"', "null"])
def test_seconds_that_no_machine_measures_are_refused(seconds: str, tmp_path: Path) -> None:
    _, profile = make(EXAMPLE)
    text = json.dumps(profile.model_dump(mode="json"))
    head, found, rest = text.partition('"median_s": ')
    assert found
    (tmp_path / "p.json").write_text(head + found + seconds + rest[rest.index(",") :])
    with pytest.raises(ProfileError, match=r"p.json is no profile: .*median_s: .*Measure it again"):
        Profile.load(tmp_path / "p.json")


def test_missing_cloud_profile_says_how_to_get_one(residual_bundle: Bundle, tmp_path: Path) -> None:
    _, profile = make(EXAMPLE)
    profile.save(tmp_path / "edge.json")
    with pytest.raises(ProfileError, match=r"no profile .*cloud.json.*PORT, or give `cloud_scale`"):
        find_profiles(residual_bundle, tmp_path / "edge.json")
    with pytest.raises(
        ProfileError, match=rf"Measure it: splitpoint profile {residual_bundle.path}\.$"
    ):
        find_profiles(residual_bundle, cloud_scale=0.5)
    edge, cloud = find_profiles(residual_bundle, tmp_path / "edge.json", cloud_scale=0.5)
    assert cloud.scale == 0.5
    assert cloud.cuts["cut-01"].tail == stage(0.035)
    assert edge == profile
