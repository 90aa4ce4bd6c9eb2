"""Calibration: ranges from some inputs, accuracy on others."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.calibration.calibrator import calibrate, check_enough, choose_for_ranges
from partitioner.calibration.measurement import Sample, relative_error
from partitioner.importer.importer import import_model
from partitioner.inputs.files import load_named
from partitioner.runtime.sessions import Stage
from protos.codecs.calibration import Ranges
from protos.codecs.registry import get_codec
from protos.errors import SourceError, UnknownNameError, UsageError
from protos.tensors import TensorSpec
from tests.kit.models import Builder, save
from tests.kit.samples import samples


def test_value_without_ranges_travels_by_another_codec(
    image_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("partitioner.calibration.calibrator.find_ranges", lambda _values: {})
    found = calibrate(image_bundle, samples(image_bundle, 33))
    assert not found.meta.values
    assert {accuracy.codec for accuracy in found.meta.accuracies} >= {"half", "int8"}


@pytest.mark.parametrize("classes", [4, 5])
@pytest.mark.parametrize("sorted_by_class", [True, False])
def test_ranges_are_found_on_a_quarter_of_every_class(classes: int, sorted_by_class: bool) -> None:
    inputs = [Sample({}, at % classes) for at in range(400)]
    if sorted_by_class:
        inputs.sort(key=lambda sample: sample.label or 0)
    chosen = choose_for_ranges(inputs, [{}] * 400, ())
    of_each = Counter(sample.label for sample, mine in zip(inputs, chosen, strict=True) if mine)
    assert sum(of_each.values()) == 100
    assert max(of_each.values()) - min(of_each.values()) <= 1
    assert sum(choose_for_ranges([Sample({}, 0)] * 2000, [{}] * 2000, ())) == 256


def test_class_of_an_input_without_label_is_the_models_own() -> None:
    scores = TensorSpec("scores", "float32", (-1, 4))
    answers = [{"scores": np.eye(4, dtype=np.float32)[[at // 25]]} for at in range(100)]
    chosen = choose_for_ranges([Sample({})] * 100, answers, (scores,))
    assert 6 <= min(Counter(at // 25 for at in np.flatnonzero(chosen)).values()) <= 7


def test_too_few_inputs_are_refused() -> None:
    with pytest.raises(SourceError, match="with 31 inputs finds no.*at least 32"):
        check_enough([Sample({})] * 31)


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
    given = samples(calibrated, 40, labelled=True)
    for_ranges = choose_for_ranges(given, [{}] * 40, calibrated.outputs)
    others = [sample for sample, mine in zip(given, for_ranges, strict=True) if not mine]
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


def scalar_model() -> onnx.ModelProto:
    """A net whose activations are scaled by their largest value, as dynamic quantisation does it: a float32
    scalar crosses beside them."""
    b = Builder()
    x = b.conv(b.input("x", [1, 3, 8, 8]), 3, 4)
    largest = b.op("ReduceMax", b.op("Abs", x), keepdims=0)
    y = b.conv(b.op("Relu", x), 4, 4)
    y = b.conv(b.op("Relu", b.conv(y, 4, 4)), 4, 4)
    y = b.conv(b.op("Mul", y, largest), 4, 4)
    return b.model(b.classify(y, 4))


def test_scalars_cross_as_they_are(tmp_path: Path) -> None:
    bundle = import_model(save(scalar_model(), tmp_path / "m.onnx"), tmp_path / "b")
    shapes = {spec.shape for cut in bundle.cuts.values() for spec in cut.frontier}
    assert () in shapes
    found = calibrate(bundle, samples(bundle, 32))
    assert {accuracy.cut for accuracy in found.meta.accuracies} == set(bundle.cuts) - {"edge"}
    assert all(
        accuracy.error is not None and accuracy.error < 0.5 for accuracy in found.meta.accuracies
    )


def test_cuts_alone_are_calibrated_and_the_others_stay(image_bundle: Bundle) -> None:
    """Two passes over halves of the cuts come to what one pass over all of them finds."""
    given = samples(image_bundle, 32)
    whole = calibrate(image_bundle, given)
    ids = [cut for cut in image_bundle.cuts if cut != "edge"]
    first = calibrate(image_bundle, given, cuts=ids[:3])
    assert [accuracy.cut for accuracy in first.meta.accuracies] == [
        accuracy.cut for accuracy in whole.meta.accuracies if accuracy.cut in ids[:3]
    ]
    halved = Bundle(image_bundle.path, image_bundle.manifest, first, contents=image_bundle.contents)
    second = calibrate(halved, given, cuts=ids[3:])
    assert second.ranges.digest == whole.ranges.digest
    assert second.meta.accuracies == whole.meta.accuracies
    more = calibrate(halved, samples(image_bundle, 40, labelled=True), cuts=ids[3:4])
    assert {row.cut: (row.samples, row.labelled) for row in more.meta.accuracies} == {
        **dict.fromkeys(ids[:3], (24, 0)),
        ids[3]: (30, 30),
    }
    crossing = {cut: {spec.name for spec in image_bundle.cut(cut).frontier} for cut in ids}
    old = set().union(*(crossing[cut] for cut in ids[:3]))
    for name, count in more.range_samples.items():
        assert count == (8 if name in old else 10)
    assert crossing[ids[3]] - old
    with pytest.raises(UnknownNameError, match="cut-77"):
        calibrate(image_bundle, given, cuts=["cut-77"])


def test_every_stage_is_opened_once_and_heads_run_once_an_input(
    image_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Counter[str] = Counter()
    heads: Counter[str] = Counter()
    open_head, open_tail = Bundle.open_head, Bundle.open_tail

    class Counted:
        def __init__(self, stage: Stage, cut: str) -> None:
            self.stage, self.cut = stage, cut

        def run(self, feeds: Any) -> Any:
            heads[self.cut] += 1
            return self.stage.run(feeds)

    def head(bundle: Bundle, cut: str, options: Any = None) -> Any:
        opened[f"{cut} head"] += 1
        return Counted(open_head(bundle, cut, options), cut)

    def tail(bundle: Bundle, cut: str, options: Any = None) -> Any:
        opened[f"{cut} tail"] += 1
        return open_tail(bundle, cut, options)

    monkeypatch.setattr(Bundle, "open_head", head)
    monkeypatch.setattr(Bundle, "open_tail", tail)
    heard: list[tuple[str, int, int]] = []
    calibrate(image_bundle, samples(image_bundle, 32), on_progress=lambda *told: heard.append(told))
    interior = [cut.id for cut in image_bundle.manifest.cuts]
    assert {opened[f"{cut} {side}"] for cut in interior for side in ("head", "tail")} == {1}
    assert {heads[cut] for cut in interior} == {32}
    done = [count for _, count, _ in heard]
    assert done == sorted(done)
    assert set(range((len(interior) + 1) * 24 + 1)) == set(done)


def test_relative_error_of_what_is_no_number_is_all_of_it() -> None:
    one = np.array([3.0, 4.0])
    assert relative_error(np.array([3.0, 3.0]), one) == pytest.approx(0.2)
    assert relative_error(np.array([np.nan, 4.0]), one) == 1.0
    assert relative_error(np.zeros(2), np.zeros(2)) == 0.0


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


def test_cut_that_is_named_twice_is_measured_once_and_one_that_nothing_crosses_not_at_all(
    image_bundle: Bundle,
) -> None:
    given = samples(image_bundle, 32)
    first = next(iter(image_bundle.manifest.cuts)).id
    found = calibrate(image_bundle, given, cuts=[first, first])
    codecs = [accuracy.codec for accuracy in found.meta.accuracies]
    assert len(codecs) == len(set(codecs)) > 0
    with pytest.raises(UsageError, match="nothing crosses at the cut 'edge'"):
        calibrate(image_bundle, given, cuts=["edge"])


def test_bound_of_what_ranges_hold_at_once_is_of_all_values_that_cross(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = Builder()
    x = b.conv_bn_relu(b.input("x", [1, 3, 8, 8]), 3, 4)
    for _ in range(2):  # two towers without a place between them where one value alone would cross
        left, right = b.conv_bn_relu(x, 4, 4), b.conv_bn_relu(x, 4, 4)
        x = b.op("Concat", b.conv_bn_relu(left, 4, 2), b.conv_bn_relu(right, 4, 2), axis=1)
    bundle = import_model(save(b.model(b.classify(x, 4)), tmp_path / "m.onnx"), tmp_path / "net")
    wide = [cut for cut in bundle.manifest.cuts if len(cut.frontier) > 1]
    assert wide
    cut = wide[0]
    each = sum(spec.nbytes() for spec in cut.frontier)
    monkeypatch.setattr("partitioner.calibration.calibrator._MAX_BYTES", 9 * each)
    seen: list[int] = []

    def count(values: np.ndarray) -> dict[int, Ranges]:
        seen.append(len(values))
        return {}

    monkeypatch.setattr("partitioner.calibration.calibrator.find_ranges", count)
    calibrate(bundle, samples(bundle, 64), cuts=[cut.id])
    assert seen == [9] * len(cut.frontier)
