"""Cuts that were calibrated on other inputs than the rest, with labels or without: what is said of each."""

import io

import pytest
from rich.console import Console, RenderableType

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import BundleCalibration
from partitioner.network.link import Link
from partitioner.planning.plan import plan
from partitioner.profiles.profile import Profile
from partitioner.reports.accuracy import cuts_by_basis
from partitioner.reports.calibration import calibration_json, calibration_table, calibration_text
from partitioner.reports.contents import contents_json, contents_table
from partitioner.reports.plans.comparison import Compared
from partitioner.reports.plans.plan import bound_text, plan_table, points_text

OTHER = "cut-02"


@pytest.fixture(scope="module")
def mixed(calibrated: Bundle) -> Bundle:
    """As if one cut had been calibrated again: 30 inputs without labels, ranges from 10."""
    known = calibrated.calibration
    assert known is not None
    names = {spec.name for spec in calibrated.cut(OTHER).frontier}
    again = {"samples": 30, "labelled": 0, "right": 0, "whole_right": 0, "agreeing": 30}
    meta = known.meta.model_copy(
        update={
            "range_samples": 10,
            "values": tuple(
                one.model_copy(update={"range_samples": 10}) if one.name in names else one
                for one in known.meta.values
            ),
            "accuracies": tuple(
                one.model_copy(update=again) if one.cut == OTHER else one
                for one in known.meta.accuracies
            ),
        }
    )
    found = BundleCalibration(meta, known.ranges)
    return Bundle(calibrated.path, calibrated.manifest, found, contents=calibrated.contents)


def printed(shown: RenderableType) -> str:
    wide = Console(width=400, file=io.StringIO())
    wide.print(shown)
    return wide.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def calibration_of(bundle: Bundle) -> BundleCalibration:
    assert bundle.calibration is not None
    return bundle.calibration


def test_numbers_and_measure_are_those_of_each_cut(mixed: Bundle, calibrated: Bundle) -> None:
    rest, other = calibration_json(mixed, calibration_of(mixed))["measured"]
    (whole,) = calibration_json(calibrated, calibration_of(calibrated))["measured"]
    assert other == {
        "cuts": [OTHER], "measure": "agreement", "samples": 30, "labelled": 0, "range_samples": [10],
    }  # fmt: skip
    assert rest == whole | {"cuts": [cut for cut in whole["cuts"] if cut != OTHER]}
    assert contents_json(mixed, [])["calibration"]["measured"] == [rest, other]


def test_table_and_text_say_at_which_cuts_points_are_of_what(
    mixed: Bundle, calibrated: Bundle
) -> None:
    rest, _ = cuts_by_basis(mixed, calibration_of(mixed))
    text = calibration_text(mixed, calibration_of(mixed))
    assert (
        f"{OTHER}: agreement with the whole model's strongest class; ranges from 10 inputs, points from 30 "
        "others; the other cuts: accuracy against labels"
    ) in text
    assert f"points from {rest.samples} others." in text
    table = printed(calibration_table(mixed, calibration_of(mixed)))
    assert "agreement, 30" in table
    assert f"accuracy, {rest.samples}" in table
    assert "accuracy" not in printed(calibration_table(calibrated, calibration_of(calibrated)))
    shown = printed(contents_table(mixed, [], "none"))
    assert (
        f"{OTHER}: ranges from 10 inputs, points from 30 others, of agreement; the other" in shown
    )


def test_plan_says_what_each_row_and_its_bound_are_of(
    mixed: Bundle, calibrated_profile: Profile
) -> None:
    rest, _ = cuts_by_basis(mixed, calibration_of(mixed))
    made = plan(
        mixed, Link(1e6, 1e6, 0.01), calibrated_profile, calibrated_profile,
        codec="int8", accuracy_drop=100,
    )  # fmt: skip
    text = points_text(made.options) or ""
    assert (
        f"{OTHER}: agreement on 30 inputs; the other cuts: accuracy on {rest.samples} inputs"
        in text
    )
    bound = bound_text(made) or ""
    assert f"at most 100 points of accuracy, or at {OTHER}, calibrated without labels, of" in bound
    table = printed(plan_table(made, made.options, made.best))
    assert "0.00 agreement" in table
    others = [one for one in made.options if one.accuracy and one.cut != OTHER]
    assert len([line for line in table.splitlines() if "accuracy" in line]) == len(others)


def test_share_of_labels_is_not_claimed_for_a_codec_that_was_measured_without(
    mixed: Bundle, calibrated_profile: Profile
) -> None:
    made = plan(mixed, Link(1e6, 1e6, 0.01), calibrated_profile, calibrated_profile, codec="q2")
    kept = [option for option in made.options if option.cut == OTHER]
    object.__setattr__(made, "options", tuple(kept))
    compared = Compared("mixed", made)
    assert compared.best.cut == OTHER
    assert compared.accuracy is None
    assert compared.whole_accuracy is not None
