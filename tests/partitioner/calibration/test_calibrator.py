"""Calibration: ranges from some inputs, accuracy on others, and both sides holding the same."""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from cloud_server.server import CloudServer
from edge_client.client.sync_client import EdgeClient
from edge_client.cloud.download import fetch_bundle
from edge_client.control.startup_plan import choose_option
from edge_client.frames.result import ServedBy
from partitioner.bundle.accuracy import Accuracy, is_allowed, wilson
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import CALIBRATION_FILE, BundleCalibration
from partitioner.calibration.calibrator import Sample, calibrate, relative_error, split_samples
from partitioner.calibration.ranges import find_axis, find_ranges
from partitioner.cli.main import app
from partitioner.inputs.files import load_named
from partitioner.network.link import Link
from partitioner.planning.answer import Answer
from partitioner.planning.plan import plan
from partitioner.planning.selection import select
from partitioner.profiles.profile import Profile
from partitioner.profiles.profiler import measure_profile
from partitioner.reports.calibration import calibration_table, calibration_text
from partitioner.reports.plan import bound_text, scale_text
from partitioner.reports.plan_rows import rows_worth_showing
from partitioner.runtime.sessions import RuntimeOptions
from protos.codecs.calibration import Calibration
from protos.codecs.registry import get_codec
from protos.errors import BundleError, MismatchError, SourceError, SplitpointError, UsageError
from protos.tensors import Array, TensorSpec
from tests.kit.offers import Offer, all_pieces, fetch
from tests.kit.samples import samples


@pytest.fixture(scope="module")
def calibrated(image_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A copy of the image bundle, calibrated on 40 inputs with labels at random."""
    folder = tmp_path_factory.mktemp("calibrated") / "image"
    shutil.copytree(image_bundle.path, folder)
    calibrate(image_bundle, samples(image_bundle, 40, labelled=True)).save(folder)
    return Bundle.load(folder)


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [
        # z = 1.96: (0.8 + 0.19207 ± 0.31363) / 1.38415.
        (8, 10, 0.4902, 0.9433),
        # (1 + 0.0019207 ± 0.0019207) / 1.0038415.
        (1000, 1000, 0.99617, 1.0),
        (0, 5, 0.0, 0.43449),
    ],
)
def test_wilson_by_hand(hits: int, trials: int, low: float, high: float) -> None:
    assert wilson(hits, trials) == pytest.approx((low, high), abs=1e-4)


@pytest.fixture(scope="module")
def profile(calibrated: Bundle) -> Profile:
    return measure_profile(calibrated, budget_s=0)


def measured(**more: Any) -> Accuracy:
    return Accuracy(cut="c", codec="q2", samples=200, payload_bytes=1, **more)


def test_points_are_of_accuracy_else_of_agreement_else_of_the_output() -> None:
    labelled = measured(agreeing=190, labelled=200, right=180, whole_right=183)
    assert (labelled.measure, labelled.drop_points) == ("accuracy", pytest.approx(1.5))
    low, high = wilson(180, 200)
    assert labelled.interval_points == pytest.approx((91.5 - 100 * high, 91.5 - 100 * low))
    unlabelled = measured(agreeing=190, error=0.2)
    assert (unlabelled.measure, unlabelled.drop_points) == ("agreement", pytest.approx(5.0))
    other = measured(error=0.02)
    assert (other.measure, other.drop_points) == ("error", pytest.approx(2.0))
    assert other.interval_points is None


@pytest.mark.parametrize(
    ("codec", "drop", "bound", "asked", "allowed"),
    [
        ("raw", None, 0.0, False, True),
        ("q2", 0.5, 0.5, False, True),
        ("q2", 0.6, 0.5, False, False),
        ("q2", 0.6, 0.5, True, False),
        ("q2", 40.0, None, True, True),
        ("q2", 0.9, None, False, True),
        ("q2", 1.1, None, False, False),
        ("half", None, None, False, False),
        ("half", None, None, True, True),
        ("jpeg-75", None, None, False, True),
        ("jpeg-75", None, 0.5, False, False),
        ("jpeg-75", 3.0, None, False, False),
    ],
)
def test_what_a_plan_may_offer(
    codec: str, drop: float | None, bound: float | None, asked: bool, allowed: bool
) -> None:
    found = None if drop is None else measured(error=drop / 100)
    assert is_allowed("cut-01", codec, found, bound, asked=asked) == allowed


@settings(max_examples=20, deadline=None)
@example(1376, True)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_levels_are_the_means_of_what_they_stand_for(seed: int, relu: bool) -> None:
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.1, 5, 6)[:, None, None]
    values = rng.standard_normal((16, 6, 5, 5)) * scale + rng.normal(0, 3, 6)[:, None, None]
    values = np.maximum(values, 0) if relu else values
    values = values.astype(np.float32)
    errors = []
    for bits, found in find_ranges(values).items():
        codec = get_codec(f"q{bits}", Calibration({"x": {bits: found}}))
        decoded = codec.decode(codec.encode(values, "x"), "float32", values.shape, "x")
        errors.append(float(np.mean((decoded - values) ** 2)))
        inner = (decoded > found.low[:, None, None] + found.step[:, None, None]) & (
            decoded < found.low[:, None, None] + (2**bits - 1) * found.step[:, None, None]
        )
        for channel in range(6):
            for level in np.unique(decoded[:, channel][inner[:, channel]]):
                stands_for = values[:, channel][decoded[:, channel] == level]
                assert level == pytest.approx(stands_for.mean(), rel=1e-3, abs=1e-4)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01 * values.var()


def test_channels_are_found_by_what_tells_them_apart() -> None:
    rng = np.random.default_rng(0)
    offsets = rng.normal(0, 5, 7)
    noise = rng.standard_normal((9, 7, 6, 5)).astype(np.float32)
    assert find_axis((noise + offsets[:, None, None]).astype(np.float32)) == 1
    assert find_axis((noise.transpose(0, 2, 3, 1) + offsets).astype(np.float32)) == 3
    assert find_axis(noise[:, 0, 0, 0]) is None


def test_channel_that_never_moves_has_a_width_all_the_same() -> None:
    values = np.zeros((16, 3, 4, 4), np.float32)
    values[:, 1] = np.random.default_rng(0).standard_normal((16, 4, 4))
    for found in (*find_ranges(values).values(), *find_ranges(np.zeros_like(values)).values()):
        assert (found.step > 0).all()


@pytest.mark.parametrize("constant", [300, 1e5, -1e7])
def test_constant_channel_among_small_ones_is_kept(constant: float) -> None:
    # Its step, a thousandth of the others', is below what float32 resolves at 1e5: 2^-7.
    values = np.random.default_rng(0).standard_normal((40, 8, 6, 6)).astype(np.float32)
    values[:, 7] = constant
    found = find_ranges(values)
    assert sorted(found) == [2, 3, 4, 5, 6]
    for bits, one in found.items():
        codec = get_codec(f"q{bits}", Calibration({"x": {bits: one}}))
        decoded = codec.decode(codec.encode(values, "x"), "float32", values.shape, "x")
        np.testing.assert_allclose(decoded[:, 7], constant, rtol=2**-22, atol=0)


@pytest.mark.parametrize("scale", [np.finfo(np.float32).max, 1e-40])
def test_values_at_the_ends_of_float32_have_ranges_that_hold_or_none(scale: float) -> None:
    # Masks are 0 or -3.4e38: a span of the whole of float32, whose steps overflow it.
    mask = np.where(np.random.default_rng(0).random((40, 8, 6, 6)) < 0.5, 0, -scale)
    values = mask.astype(np.float32)
    for bits, one in find_ranges(values).items():
        codec = get_codec(f"q{bits}", Calibration({"x": {bits: one}}))
        decoded = codec.decode(codec.encode(values, "x"), "float32", values.shape, "x")
        np.testing.assert_allclose(decoded, values, atol=float(one.step.max()))


def test_value_without_ranges_travels_by_another_codec(
    image_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("partitioner.calibration.calibrator.find_ranges", lambda _values: {})
    found = calibrate(image_bundle, samples(image_bundle, 33))
    assert not found.meta.values
    assert {accuracy.codec for accuracy in found.meta.accuracies} >= {"half", "int8"}


def test_ranges_are_found_on_every_fourth_and_accuracy_on_the_others() -> None:
    inputs = [Sample({}, at) for at in range(2000)]
    for_ranges, others = split_samples(inputs)
    assert [sample.label for sample in for_ranges] == list(range(0, 1024, 4))
    assert len(others) == 2000 - 256
    assert not {sample.label for sample in for_ranges} & {sample.label for sample in others}
    with pytest.raises(SourceError, match="31 inputs are too few.*at least 32"):
        split_samples(inputs[:31])


def test_every_codec_is_measured_at_every_cut(calibrated: Bundle) -> None:
    assert calibrated.calibration is not None
    found = calibrated.calibration.accuracies
    lossy = ("half", "int8", "q2", "q3", "q4", "q5", "q6")
    interior = [cut.id for cut in calibrated.manifest.cuts]
    assert set(found) == {(cut, codec) for cut in interior for codec in lossy} | {
        ("cloud", "jpeg-75"),
        ("cloud", "webp-75"),
    }
    for accuracy in found.values():
        assert (accuracy.samples, accuracy.labelled) == (30, 30)
        frontier = sum(spec.nbytes() for spec in calibrated.cut(accuracy.cut).frontier)
        assert accuracy.payload_bytes < frontier
    for cut in interior:
        errors = [found[cut, codec].error or 0.0 for codec in ("half", "q6", "q4", "q2")]
        assert errors == sorted(errors)


def test_accuracy_is_what_head_codec_and_tail_come_to(calibrated: Bundle) -> None:
    _, others = split_samples(samples(calibrated, 40, labelled=True))
    (name,) = (spec.name for spec in calibrated.outputs)
    cut = calibrated.cut("cut-03")
    (spec,) = cut.frontier
    codec = get_codec("q2", calibrated.ranges)
    head, tail = calibrated.open_head(cut.id), calibrated.open_tail(cut.id)
    model = calibrated.open_tail("cloud")
    agreeing = right = whole_right = 0
    errors, sizes = [], []
    for sample in others:
        value = head.run(sample.feeds)[spec.name]
        data = codec.encode(value, spec.name)
        decoded = codec.decode(data, "float32", value.shape, spec.name)
        mine, wanted = tail.run({spec.name: decoded})[name], model.run(sample.feeds)[name]
        agreeing += int(mine.argmax() == wanted.argmax())
        right += int(mine.argmax() == sample.label)
        whole_right += int(wanted.argmax() == sample.label)
        errors.append(np.linalg.norm(mine - wanted) / np.linalg.norm(wanted))
        sizes.append(len(data))
    assert calibrated.calibration is not None
    found = calibrated.calibration.accuracies["cut-03", "q2"]
    assert (found.agreeing, found.right, found.whole_right) == (agreeing, right, whole_right)
    assert found.error == pytest.approx(np.mean(errors), rel=1e-6)
    assert found.payload_bytes == pytest.approx(np.mean(sizes))


def test_model_that_names_no_class_is_held_to_its_output(bundles: Any) -> None:
    found = calibrate(bundles("unet"), samples(bundles("unet"), 32))
    assert {accuracy.measure for accuracy in found.meta.accuracies} == {"error"}
    assert 0 < found.accuracies["cut-01", "half"].drop_points < 0.5
    assert all(accuracy.agreeing is None for accuracy in found.meta.accuracies)


def test_relative_error_of_what_is_no_number_is_all_of_it() -> None:
    one = np.array([3.0, 4.0])
    assert relative_error(np.array([3.0, 3.0]), one) == pytest.approx(0.2)
    assert relative_error(np.array([np.nan, 4.0]), one) == 1.0
    assert relative_error(np.zeros(2), np.zeros(2)) == 0.0


def test_calibration_survives_the_disk_and_is_no_part_of_the_identity(
    calibrated: Bundle, image_bundle: Bundle
) -> None:
    assert calibrated.digest == image_bundle.digest
    assert calibrated.ranges is not None
    assert calibrated.calibration is not None
    assert calibrated.ranges.digest == calibrated.calibration.meta.digest
    assert [path.name for path in calibrated.path.glob(".*")] == []
    renamed = calibrated.manifest.model_copy(update={"name": "other", "labels": ()})
    assert renamed.digest != calibrated.digest
    assert BundleCalibration.load(calibrated.path, renamed.split_digest) is not None


def damage(path: Path, how: str) -> None:
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif how == "no archive":
        path.write_bytes(b"PK\x03\x04 nothing")
    elif how == "too large":
        np.savez_compressed(path, meta=np.zeros((64 << 20) + 1, np.uint8))
    else:
        with np.load(path) as archive:
            arrays = dict(archive)
        if how == "changed":
            arrays["0/2/levels"] = arrays["0/2/levels"] * np.float32(1.0001)
        elif how == "bad range":
            arrays["0/2/step"][0] = np.nan
        elif how == "incomplete":
            del arrays["0/2/low"]
        else:
            meta = json.loads(arrays["meta"].tobytes())
            meta["schema_version" if how == "newer" else "split_digest"] = (
                2 if how == "newer" else "f" * 64
            )
            arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
        np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ("truncated", "damaged"),
        ("no archive", "damaged"),
        ("too large", "67108864 are allowed"),
        ("changed", "digest is not that of its content"),
        ("bad range", "do not fit together"),
        ("incomplete", "lacks '0/2/low'"),
        ("newer", "schema version 2"),
        ("other bundle", "another model: ffffffffffff"),
    ],
)
def test_calibration_that_is_damaged_or_of_another_bundle_is_refused(
    how: str, match: str, calibrated: Bundle, tmp_path: Path
) -> None:
    shutil.copy(calibrated.path / CALIBRATION_FILE, tmp_path / CALIBRATION_FILE)
    damage(tmp_path / CALIBRATION_FILE, how)
    with pytest.raises(BundleError, match=match):
        BundleCalibration.load(tmp_path, calibrated.manifest.split_digest)


def test_calibration_with_any_bytes_damaged_is_refused_or_whole(
    calibrated: Bundle, tmp_path: Path
) -> None:
    path, rng = tmp_path / CALIBRATION_FILE, random.Random(0)
    good = (calibrated.path / CALIBRATION_FILE).read_bytes()
    refused = 0
    for size in 100 * (1, 2, 4):
        damaged, at = bytearray(good), rng.randrange(len(good) - size)
        damaged[at : at + size] = rng.randbytes(size)
        path.write_bytes(damaged)
        try:
            BundleCalibration.load(tmp_path, calibrated.manifest.split_digest)
        except BundleError as error:
            assert "is damaged" in str(error)  # noqa: PT017 - some damage changes nothing that is read
            refused += 1
    assert refused > 200


def test_plan_keeps_the_bound_and_says_so(calibrated: Bundle, profile: Profile) -> None:
    assert {"half", "int8", "q2", "q6"} < set(profile.cuts["cut-02"].codecs)
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
    everything = plan(calibrated, link, profile, profile, accuracy_drop=100)
    assert everything.left_out == 0
    drops = sorted({o.accuracy.drop_points for o in everything.options if o.accuracy})
    bound = max(0.0, drops[len(drops) // 2])
    made = plan(calibrated, link, profile, profile, accuracy_drop=bound)
    kept = {option.label for option in made.options}
    for option in everything.options:
        loses = option.accuracy.drop_points if option.accuracy else 0.0
        assert (option.label in kept) == (loses <= bound)
    assert made.left_out == len(everything.options) - len(made.options) > 0
    text = bound_text(made)
    assert text is not None
    assert f"at most {bound:g} points of output" in text
    assert f"{made.left_out} that lose more" in text
    assert len(rows_worth_showing(Answer(select(made)))) < len(made.options)
    narrowed = plan(calibrated, link, profile, profile, codec="q3")
    assert {option.codec for option in narrowed.options if option.cut != "edge"} == {"q3"}
    # What was measured on the calibration's inputs counts for more than the size of made-up ones.
    q2 = next(o for o in everything.options if o.label == "cut-02/q2")
    assert q2.accuracy is not None
    assert 0 < q2.upload_bytes - q2.accuracy.payload_bytes < 400


def test_profile_from_before_the_calibration_offers_no_low_bits(
    calibrated: Bundle, profile: Profile
) -> None:
    earlier = {"measured_at": "2026-01-01T00:00:00+00:00"}
    before = profile.model_copy(update={"calibration_digest": "", **earlier})
    made = plan(calibrated, Link(1e6, 1e6, 0.01), profile, before, accuracy_drop=100)
    assert not any(option.codec.startswith("q") for option in made.options)
    note = scale_text(made) or ""
    assert "q2 to q6 are left out, as the cloud did not" in note
    assert "restart the server" in note
    assert "and so are q2 to q6" in (bound_text(made) or "")
    # The device's profile is mended here alone; a cloud that is assumed from it has no server.
    for edge, cloud in ((before, profile), (before, before)):
        note = scale_text(plan(calibrated, Link(1e6, 1e6, 0.01), edge, cloud)) or ""
        assert f"run: splitpoint profile {calibrated.path}" in note
        assert "server" not in note


def test_profile_of_a_server_with_an_older_calibration_says_to_restart_it(
    image_bundle: Bundle, calibrated: Bundle, tmp_path: Path
) -> None:
    folder = tmp_path / "image"
    shutil.copytree(image_bundle.path, folder)
    with CloudServer(bundles=folder, listen="127.0.0.1:0") as server:
        address = server.address
        words = ["profile", str(folder), "--cloud", address, "--budget", "50ms"]
        before = CliRunner().invoke(app, words).stderr
        assert "calibration" not in before
        assert "Next: splitpoint plan" in before
        shutil.copy(calibrated.path / CALIBRATION_FILE, folder)
        done = CliRunner().invoke(app, words)
    assert done.exit_code == 0
    assert Profile.load(folder / "profiles" / "cloud.json").calibration_digest == ""
    said = " ".join(done.stderr.split())
    assert f"the server at {address} has no calibration" in said
    assert "restart the server" in said
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
def test_senseless_bound_is_refused(bound: float, calibrated: Bundle, profile: Profile) -> None:
    with pytest.raises(UsageError, match="percentage points"):
        plan(calibrated, Link(1e6, 1e6, 0), profile, profile, accuracy_drop=bound)


def test_bound_without_calibration_says_what_to_run(image_bundle: Bundle, profile: Profile) -> None:
    with pytest.raises(UsageError, match="splitpoint calibrate"):
        plan(image_bundle, Link(1e6, 1e6, 0), profile, profile, accuracy_drop=0.5)


@pytest.fixture(scope="module")
def address(calibrated: Bundle) -> Iterator[str]:
    with CloudServer(bundles=calibrated.path, listen="127.0.0.1:0") as server:
        yield server.address


def test_edge_and_cloud_use_low_bits_at_run_time(calibrated: Bundle, address: str) -> None:
    feeds = samples(calibrated, 1)[0].feeds
    (name,) = (spec.name for spec in calibrated.outputs)
    with EdgeClient(address, calibrated, "cut-03", codec="q4") as client:
        result = client.infer(feeds)
    assert (result.served_by, result.codec) == (ServedBy.CLOUD, "q4")
    (spec,) = calibrated.cut("cut-03").frontier
    codec = get_codec("q4", calibrated.ranges)
    value = calibrated.open_head("cut-03").run(feeds)[spec.name]
    data = codec.encode(value, spec.name)
    decoded = codec.decode(data, "float32", value.shape, spec.name)
    wanted: Array = calibrated.open_tail("cut-03").run({spec.name: decoded})[name]
    np.testing.assert_allclose(result.outputs[name], wanted, rtol=1e-4, atol=1e-5)
    assert 0 < result.upload_bytes - len(data) < 400


def test_server_with_another_calibration_or_none_is_a_mismatch_and_the_edge_goes_on(
    calibrated: Bundle, image_bundle: Bundle, address: str, tmp_path: Path
) -> None:
    feeds = samples(calibrated, 1)[0].feeds
    wanted = calibrated.open_tail("cloud").run(feeds)
    other = tmp_path / "image"
    shutil.copytree(image_bundle.path, other)
    calibrate(image_bundle, samples(image_bundle, 36)).save(other)
    with CloudServer(bundles=image_bundle.path, listen="127.0.0.1:0") as bare:
        for server, bundle, match in (
            (bare.address, calibrated, "none there"),
            (address, Bundle.load(other), "… there"),
        ):
            with EdgeClient(server, bundle, "cut-03", codec="q4") as client:
                result = client.infer(feeds)
                assert result.served_by is ServedBy.EDGE
                assert f"the server at {server} has another calibration" in result.reason
                assert match in result.reason
                for name, array in wanted.items():
                    np.testing.assert_allclose(result.outputs[name], array, rtol=1e-4, atol=1e-5)
            with EdgeClient(server, bundle, "cut-03", codec="int8") as client:
                assert client.infer(feeds).served_by is ServedBy.CLOUD
            with (
                EdgeClient(server, bundle, "cut-03", codec="q4", on_failure="fail") as client,
                pytest.raises(MismatchError, match="calibration.npz"),
            ):
                client.infer(feeds)


def test_auto_keeps_the_accuracy_bound(
    calibrated: Bundle, profile: Profile, address: str, tmp_path: Path
) -> None:
    folder = tmp_path / "image"
    shutil.copytree(calibrated.path, folder)
    bundle = Bundle.load(folder)
    profile.scaled(1000).save(bundle.profiles / "edge.json")
    profile.save(bundle.profiles / "cloud.json")
    for bound in (0.0, 100.0):
        chosen = choose_option(
            bundle, address, RuntimeOptions(), link=Link(1e5, 1e5, 0.0), accuracy_drop=bound
        )
        lost = chosen.option.accuracy.drop_points if chosen.option.accuracy else 0.0
        assert lost <= bound


def test_fetch_brings_the_calibration(calibrated: Bundle, address: str, tmp_path: Path) -> None:
    copy = fetch_bundle(address, calibrated.name, tmp_path / "copy")
    assert copy.ranges is not None
    assert calibrated.ranges is not None
    assert copy.ranges.digest == calibrated.ranges.digest


class Calibrated(Offer):
    """Lists a calibration as a test says."""

    digest_listed, bytes_listed = "ab" * 32, 100

    def ListBundles(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = super().ListBundles(request, context)
        answer.bundles[0].calibration_digest = self.digest_listed
        answer.bundles[0].calibration_bytes = self.bytes_listed
        return answer


@pytest.mark.parametrize(
    ("size", "kind", "match"),
    [(100, MismatchError, "another calibration"), (1 << 40, BundleError, "1099511627776 bytes")],
)
def test_calibration_other_than_listed_is_refused(
    size: int,
    kind: type[SplitpointError],
    match: str,
    residual_bundle: Bundle,
    tmp_path: Path,
) -> None:
    offer = Calibrated(residual_bundle, lambda: all_pieces(residual_bundle))
    offer.bytes_listed = size
    with pytest.raises(kind, match=match):
        fetch(offer, tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def write_images(folder: Path, count: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for at in range(count):
        pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{at:03}.png")
    lines = [f"{at:03}.png,class-{at % 10}" for at in range(count)]
    (folder / "labels.csv").write_text("\n".join(["file,label", *lines, ""]))
    return folder


def call(*words: object) -> tuple[int, str, BaseException | None]:
    done = CliRunner().invoke(app, [*map(str, words)])
    return done.exit_code, done.stdout, done.exception


def test_command_calibrates_a_folder_of_labelled_images(calibrated: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / "image"
    shutil.copytree(calibrated.path, folder)
    images = write_images(tmp_path / "images", 33)
    words = ("calibrate", folder, "--data", images, "--labels", images / "labels.csv")
    status, out, error = call(*words, "--json")
    assert (status, error) == (0, None)
    document = json.loads(out)
    assert (document["range_samples"], document["accuracies"][0]["samples"]) == (9, 24)
    assert document["accuracies"][0]["measure"] == "accuracy"
    found = Bundle.load(folder)
    assert found.ranges is not None
    assert found.ranges.digest == document["digest"] != calibrated.ranges.digest  # type: ignore[union-attr]
    assert found.calibration is not None
    assert calibration_table(found, found.calibration).row_count == len(found.cuts) - 1
    assert "from 9 inputs, points from 24 others" in calibration_text(found.calibration)


def spoil(images: Path, how: str) -> tuple[Path, tuple[object, ...]]:
    """Return the data and the further words of a command that cannot succeed."""
    labels = images / "labels.csv"
    if how == "empty":
        for path in images.glob("*.png"):
            path.unlink()
    elif how == "few":
        for path in list(images.glob("*.png"))[:10]:
            path.unlink()
    elif how == "shape":
        np.save(images / "x.npy", np.zeros((40, 3, 32, 32), np.float32))
        return images / "x.npy", ()
    elif how == "unlabelled":
        labels.write_text("\n".join(labels.read_text().splitlines()[:20]) + "\n")
    elif how == "no labels":
        labels.unlink()
    elif how == "class":
        labels.write_text(labels.read_text().replace("class-3", "12"))
    elif how == "broken image":
        (images / "007.png").write_bytes(b"no image")
    return images, ("--labels", labels) if how in ("unlabelled", "no labels", "class") else ()


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ("empty", "holds no frames"),
        ("few", "23 inputs are too few"),
        ("shape", r"float32\[40, 3, 32, 32\]"),
        ("unlabelled", "14 of 33 inputs have no label: 019.png"),
        ("no labels", "labels.csv cannot be read"),
        ("class", "labelled 12, and the model knows the classes 0 to 9"),
        ("broken image", "007.png cannot be read"),
    ],
)
def test_bad_data_is_a_sentence_and_overwrites_nothing(
    how: str, match: str, calibrated: Bundle, tmp_path: Path
) -> None:
    before = (calibrated.path / CALIBRATION_FILE).read_bytes()
    data, more = spoil(write_images(tmp_path / "images", 33), how)
    status, _, error = call("calibrate", calibrated.path, "--data", data, *more)
    assert status != 0
    assert isinstance(error, SplitpointError)
    with pytest.raises(type(error), match=match):
        raise error
    assert (calibrated.path / CALIBRATION_FILE).read_bytes() == before


def test_inputs_that_are_no_numbers_are_refused_and_infinities_are_not(tmp_path: Path) -> None:
    vector = [TensorSpec("x", "float32", (-1, 3))]
    values = np.zeros((4, 3), np.float32)
    values[2, 1] = -np.inf  # the mask of an attention may mean it
    np.save(tmp_path / "x.npy", values)
    assert len(load_named(tmp_path / "x.npy", vector, 8)) == 4
    values[3, 0] = np.nan
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(
        SourceError, match="x.npy#3: 'x' holds NaN, which is no number. Leave it out."
    ):
        load_named(tmp_path / "x.npy", vector, 8)


def test_labels_for_a_model_without_classes_are_refused(bundles: Any, tmp_path: Path) -> None:
    unet = bundles("unet")
    np.save(tmp_path / "x.npy", np.zeros((32, 3, 32, 32), np.float32))
    (tmp_path / "labels.csv").write_text("file,label\nx.npy#0,1\n")
    _, _, error = call(
        "calibrate", unet.path, "--data", tmp_path / "x.npy", "--labels", tmp_path / "labels.csv"
    )
    assert isinstance(error, UsageError)
    assert "Leave out --labels" in str(error)
    assert not (unet.path / CALIBRATION_FILE).exists()
