"""The plan under a bound on the accuracy."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import BundleCalibration
from partitioner.calibration.calibrator import calibrate
from partitioner.cli.main import app
from partitioner.importer.importer import ImportOptions, import_model
from partitioner.network.link import Link
from partitioner.planning.answer import Answer
from partitioner.planning.plan import plan
from partitioner.planning.selection import select
from partitioner.profiles.profile import Profile
from partitioner.profiles.profiler import measure_profile
from partitioner.reports.plans.plan import bound_text, points_text, scale_notes
from partitioner.reports.plans.rows import rows_worth_showing
from protos.errors import UnknownNameError, UsageError
from tests.kit.samples import samples


def test_plan_keeps_the_bound_and_says_so(calibrated: Bundle, calibrated_profile: Profile) -> None:
    assert {"half", "int8", "q2", "q6"} < set(calibrated_profile.cuts["cut-02"].codecs)
    link = Link(1e5, 1e5, 0.01)
    assert calibrated.calibration is not None
    # Random labels are met as often with errors as without: here the outputs' errors tell codecs apart.
    rows = tuple(
        found.model_copy(update={"labelled": 0, "agreeing": None})
        for found in calibrated.calibration.meta.accuracies
    )
    meta = calibrated.calibration.meta.model_copy(update={"accuracies": rows})
    calibrated = Bundle(
        calibrated.path,
        calibrated.manifest,
        BundleCalibration(meta, calibrated.calibration.ranges),
    )
    everything = plan(calibrated, link, calibrated_profile, calibrated_profile, accuracy_drop=100)
    assert everything.left_out == 0
    drops = sorted({o.accuracy.drop_points for o in everything.options if o.accuracy})
    bound = max(0.0, drops[len(drops) // 2])
    made = plan(calibrated, link, calibrated_profile, calibrated_profile, accuracy_drop=bound)
    kept = {option.label for option in made.options}
    for option in everything.options:
        loses = option.accuracy.drop_points if option.accuracy else 0.0
        assert (option.label in kept) == (loses <= bound)
    assert made.left_out == len(everything.options) - len(made.options) > 0
    text = bound_text(made)
    assert text is not None
    assert f"at most {bound:g} points of output" in text
    assert f"{made.left_out} that lose more" in text
    assert len(rows_worth_showing(Answer(select(made)))) <= 2 * len(calibrated.cuts)
    narrowed = plan(calibrated, link, calibrated_profile, calibrated_profile, codec="q3")
    assert {option.codec for option in narrowed.options if option.cut != "edge"} == {"q3"}
    # What was measured on the calibration's inputs counts for more than the size of made-up ones.
    q2 = next(o for o in everything.options if o.label == "cut-02/q2")
    assert q2.accuracy is not None
    assert 0 < q2.upload_bytes - q2.accuracy.payload_bytes < 400


def test_interval_is_that_of_an_option_in_the_table(
    calibrated: Bundle, calibrated_profile: Profile
) -> None:
    made = plan(calibrated, Link(1e6, 1e6, 0.01), calibrated_profile, calibrated_profile)
    known = [option for option in made.options if option.accuracy]
    text = points_text(known[-1:]) or ""
    assert "points above (+) or below (-)" in text
    assert [o.label for o in known[:-1] if f"That of {o.label} lies" in text] == []
    assert points_text([o for o in made.options if not o.accuracy]) is None


def test_codec_that_needs_a_calibration_says_how_to_make_one(
    residual_bundle: Bundle,
) -> None:
    profile = measure_profile(residual_bundle, budget_s=0)
    with pytest.raises(UnknownNameError, match=r"'q4'.* splitpoint calibrate .* --data DIR"):
        plan(residual_bundle, Link(1e6, 1e6, 0.01), profile, profile, codec="q4")


def test_profile_from_before_the_calibration_offers_no_low_bits(
    calibrated: Bundle, calibrated_profile: Profile
) -> None:
    earlier = {"measured_at": "2026-01-01T00:00:00+00:00"}
    before = calibrated_profile.model_copy(update={"calibration_digest": "", **earlier})
    made = plan(calibrated, Link(1e6, 1e6, 0.01), calibrated_profile, before, accuracy_drop=100)
    assert not any(option.codec.startswith("q") for option in made.options)
    note = " ".join(scale_notes(made))
    assert "q2 to q6 are left out, as the cloud did not" in note
    assert "takes up by itself" in note
    assert "and so are q2 to q6" in (bound_text(made) or "")
    # The device's profile is mended here alone; a cloud that is assumed from it has no server.
    for edge, cloud in ((before, calibrated_profile), (before, before)):
        note = " ".join(scale_notes(plan(calibrated, Link(1e6, 1e6, 0.01), edge, cloud)))
        assert f"run: splitpoint profile {calibrated.path}" in note
        assert "server" not in note


def test_profile_of_a_server_with_an_older_calibration_says_what_to_give_it(
    onnx_files: Callable[[str], Path], tmp_path: Path
) -> None:
    folder, options = tmp_path / "image", ImportOptions(preprocess="imagenet", max_cuts=1)
    bundle = import_model(onnx_files("residual"), folder, options)
    with CloudServer(bundles=folder, listen="127.0.0.1:0") as server:
        address = server.address
        words = ["profile", str(folder), "--cloud", address, "--budget", "50ms"]
        before = CliRunner().invoke(app, words).stderr
        assert "calibration" not in before
        assert "Next: splitpoint plan" in before
        calibrate(bundle, samples(bundle, 40)).save(folder)
        done = CliRunner().invoke(app, words)
    assert done.exit_code == 0
    assert Profile.load(folder / "profiles" / "cloud.json").calibration_digest == ""
    said = " ".join(done.stderr.split())
    assert f"the server at {address} has no calibration" in said
    assert "takes up by itself" in said
    assert "Next:" not in said


def test_bundle_that_was_never_calibrated_says_what_the_options_shown_lose(
    image_bundle: Bundle,
) -> None:
    found = measure_profile(image_bundle, budget_s=0)
    made = plan(image_bundle, Link(1e6, 1e6, 0.01), found, found)
    text = bound_text(made) or ""
    assert f"{len(made.options)} options lose nothing" in text
    assert f"the other {made.left_out} are left out" in text
    assert f"splitpoint calibrate {image_bundle.path}" in text


@pytest.mark.parametrize("bound", [-1, 101, float("nan")])
def test_senseless_bound_is_refused(
    bound: float, calibrated: Bundle, calibrated_profile: Profile
) -> None:
    with pytest.raises(UsageError, match="percentage points"):
        plan(
            calibrated,
            Link(1e6, 1e6, 0),
            calibrated_profile,
            calibrated_profile,
            accuracy_drop=bound,
        )


def test_bound_without_calibration_says_what_to_run(
    image_bundle: Bundle, calibrated_profile: Profile
) -> None:
    with pytest.raises(UsageError, match="splitpoint calibrate"):
        plan(
            image_bundle,
            Link(1e6, 1e6, 0),
            calibrated_profile,
            calibrated_profile,
            accuracy_drop=0.5,
        )
