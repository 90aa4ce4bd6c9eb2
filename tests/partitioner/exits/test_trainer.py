"""Exits: trained on what crosses, honest about how sure they are, and refused where they would lie."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.exit_outcomes import (
    Outcomes,
    calibration_error,
    fewest_for,
    fit_temperature,
    softmax,
)
from partitioner.bundle.exits import CONFIDENCE, EXITS_FILE, BundleExits
from partitioner.cli.main import app
from partitioner.exits.features import Feature, features_of
from partitioner.exits.network import ExitNetwork, distill, to_onnx
from partitioner.exits.trainer import cuts_to_exit, measure_exits, train_exits
from protos.errors import BundleError, SourceError, UnknownNameError, UsageError
from protos.tensors import TensorSpec
from tests.kit.exit_models import colours, data


def outcomes(confidence: list[float], agrees: list[int], **labelled: list[int]) -> Outcomes:
    right, whole = labelled.get("right"), labelled.get("whole")
    return Outcomes(
        np.array(confidence, np.float32),
        np.array(agrees, bool),
        None if right is None else np.array(right, bool),
        None if whole is None else np.array(whole, bool),
    )


def test_standing_by_hand() -> None:
    known = outcomes([0.9, 0.8, 0.7, 0.4], [1, 1, 0, 1], right=[1, 0, 0, 1], whole=[1, 0, 1, 0])
    standing = known.at(0.7)
    assert standing.exit_rate == 0.75
    assert standing.agreement == pytest.approx(2 / 3)
    # The first three as the exit says: 1 + 0 + 0; the last as the whole model says: 0.
    assert standing.accuracy == 0.25
    assert standing.whole_accuracy == 0.5
    # Three bins of one each: |1 - .9| + |1 - .8| + |0 - .7| over 3.
    assert standing.ece == pytest.approx((0.1 + 0.2 + 0.7) / 3, abs=1e-6)
    assert known.at(0.95).agreement is None


def test_calibration_error_by_hand() -> None:
    # 0.61 and 0.65 share the bin (0.6, 0.667], in which one of two agrees: |0.5 - 0.63| * 2 of 3 inputs,
    # and 0.1 is alone and wrong: 0.1 * 1 of 3.
    error = calibration_error(np.array([0.61, 0.65, 0.1], np.float32), np.array([1, 0, 0], bool))
    assert error == pytest.approx((0.26 + 0.1) / 3, abs=1e-6)


@pytest.mark.parametrize(
    ("agreement", "threshold"),
    [(1.0, 0.9), (0.97, None), (0.95, 0.9), (0.8, 0.6), (0.7, 0.5), (0.5, 0.5)],
)
def test_threshold_is_the_lowest_that_agrees_as_often_as_wanted_but_for_chance(
    agreement: float, threshold: float | None
) -> None:
    # From the top 100/100 at 0.9, 180/200 at 0.6 (all of one confidence), 230/300 at 0.5. The lower ends
    # of Wilson's 95 % intervals: 100 / (100 + 3.8415) = 0.9630; 0.8506; 0.7156.
    known = outcomes(
        [0.9] * 100 + [0.6] * 100 + [0.5] * 100, [1] * 180 + [0] * 20 + [1] * 50 + [0] * 50
    )
    assert known.threshold_for(agreement) == (
        None if threshold is None else pytest.approx(threshold)
    )
    assert known.at(0.6).agreement_95 == pytest.approx(0.8506, abs=1e-4)
    assert known.at(0.5).agreement_95 == pytest.approx(0.7156, abs=1e-4)


def test_few_inputs_promise_little() -> None:
    # n / (n + 3.8415) >= 0.99 from n = 381 on.
    assert fewest_for(0.99) == 381
    assert outcomes([0.9] * 380, [1] * 380).threshold_for(0.99) is None
    assert outcomes([0.9] * 381, [1] * 381).threshold_for(0.99) == pytest.approx(0.9)
    assert fewest_for(1.0) == 1
    assert outcomes([0.9, 0.5], [0, 1]).threshold_for(0.9) is None


def test_chosen_threshold_keeps_its_promise_on_inputs_drawn_like_the_held_out_ones() -> None:
    """An exit whose confidence is its chance to agree: those above t agree with a chance of (1 + t) / 2."""
    rng, kept = np.random.default_rng(6), 0
    for _ in range(200):
        confidence = rng.random(3000, np.float32)
        found = Outcomes(confidence, rng.random(3000) < confidence).threshold_for(0.9)
        assert found is not None
        kept += (1 + found) / 2 >= 0.9
    # One end of a 95 % interval would keep 97.5 %; the lowest of many thresholds is chosen, so a bit less.
    assert kept >= 180


def test_temperature_that_made_the_scores_is_found() -> None:
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((6_000, 5)) * 3
    chances = softmax(scores / 2.5).astype(np.float64)
    classes = (chances.cumsum(axis=1) > rng.random((len(scores), 1))).argmax(axis=1)
    assert fit_temperature(scores.astype(np.float32), classes) == pytest.approx(2.5, rel=0.08)


FEATURES = {
    "map": (TensorSpec("m", "float32", (-1, 3, 43, 30)), "map", 3),
    "small map": (TensorSpec("s", "float32", (-1, 5, 7, 9)), "map", 1),
    "sequence": (TensorSpec("t", "float32", (-1, 6, 8)), "sequence", 1),
    "vector": (TensorSpec("v", "float32", (1, 12)), "vector", 1),
}


@pytest.mark.parametrize("probabilities", [False, True])
def test_graph_does_what_the_trained_network_does(probabilities: bool) -> None:
    features = [Feature(spec, kind, pool) for spec, kind, pool in FEATURES.values()]
    torch.manual_seed(3)
    network = ExitNetwork(features, 4)
    network(*(torch.randn(8, *feature.shape) for feature in features))  # moves the running means
    network.eval()
    output = TensorSpec("y", "float32", (-1, 4))
    graph = to_onnx(network, features, output, 1.7, probabilities=probabilities)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(4)
    frontier = {
        f.spec.name: rng.standard_normal(f.spec.sized()).astype(np.float32) for f in features
    }
    found, confidence = session.run(["y", CONFIDENCE], frontier)
    reduced = [torch.from_numpy(np.array(f.reduce(frontier)))[None] for f in features]
    with torch.inference_mode():
        scores = network(*reduced).numpy() / 1.7
    chances = softmax(scores)
    np.testing.assert_allclose(found, chances if probabilities else scores, atol=1e-5)
    np.testing.assert_allclose(confidence, chances.max(axis=1), atol=1e-5)


def test_distilling_leaves_the_callers_torch_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state(), torch.get_num_threads()
    feature = Feature(*FEATURES["vector"])
    values = np.random.default_rng(0).standard_normal((64, 12)).astype(np.float32)
    from partitioner.exits.network import TrainingSettings

    one, two = (
        distill([feature], [values], values[:, :4], None, TrainingSettings(epochs=1))
        for _ in range(2)
    )
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == torch.get_num_threads()
    assert torch.equal(one.classifier.weight, two.classifier.weight)  # seeded


def test_exits_agree_as_promised_on_inputs_that_nobody_has_seen(
    classifier: Bundle, trained: BundleExits
) -> None:
    assert list(trained.exits) == [cut.id for cut in cuts_to_exit(classifier)]
    frames, labels = colours(300, seed=9)
    measured = measure_exits(classifier, trained, data(frames, labels))
    for cut, found in trained.exits.items():
        assert found.meta.threshold is not None
        standing = measured[cut].at(found.meta.threshold)
        assert standing.exit_rate > 0.5
        assert standing.agreement is not None
        assert standing.agreement > 0.9
        assert standing.accuracy is not None
        assert standing.whole_accuracy is not None
        assert standing.accuracy > standing.whole_accuracy - 0.05
        assert found.meta.head_share > 0
    assert trained.meta.trained_samples == 1200
    assert trained.meta.held_out_samples == 300


def test_exits_come_back_from_the_disk_and_leave_the_bundle_what_it_was(
    classifier: Bundle, trained: BundleExits, exiting: Bundle
) -> None:
    again = exiting.exits
    assert again is not None
    assert again.meta == trained.meta
    assert exiting.digest == classifier.digest
    for cut, found in trained.exits.items():
        assert again.exits[cut].graph == found.graph
        np.testing.assert_array_equal(
            again.exits[cut].outcomes.confidence, found.outcomes.confidence
        )
    assert classifier.exits is None
    with pytest.raises(UnknownNameError, match="no exit was trained at 'cut-99'"):
        again.find("cut-99")


def test_chance_to_exit_is_the_held_out_share_at_a_threshold(trained: BundleExits) -> None:
    cut, found = next(iter(trained.exits.items()))
    confidence = found.outcomes.confidence
    assert trained.costs(0.7)[cut].rate == np.mean(confidence >= 0.7)
    assert trained.costs()[cut].rate == np.mean(confidence >= found.meta.threshold)
    never = replace(found, meta=found.meta.model_copy(update={"threshold": None}))
    assert never.cost().rate == 0


def test_exits_of_another_model_are_refused(
    trained: BundleExits, bundles: Callable[[str], Bundle], tmp_path: Path
) -> None:
    shutil.copytree(bundles("residual").path, tmp_path / "other")
    trained.save(tmp_path / "other")
    with pytest.raises(BundleError, match=r"exits of another model: .*exits train"):
        _ = Bundle.load(tmp_path / "other").exits


@pytest.mark.parametrize("damage", ["cut", "text", "arrays"])
def test_damaged_exits_are_refused(exiting: Bundle, trained: BundleExits, damage: str) -> None:
    path = exiting.path / EXITS_FILE
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "text":
        path.write_text("no exits")
    else:
        cut, found = next(iter(trained.exits.items()))
        short = replace(found.outcomes, agrees=found.outcomes.agrees[:-1])
        BundleExits(trained.meta, {**trained.exits, cut: replace(found, outcomes=short)}).save(
            exiting.path
        )
    with pytest.raises(BundleError, match=r"damaged.*remove the file"):
        _ = Bundle.load(exiting.path).exits


def test_too_few_inputs_are_refused(classifier: Bundle) -> None:
    with pytest.raises(SourceError, match=r"160 inputs to train .* 40 to judge .* at least 250"):
        train_exits(classifier, data(*colours(200)))
    with pytest.raises(SourceError, match="at least 200 and 50"):
        train_exits(classifier, data(*colours(200)), data(*colours(20)))


def test_one_class_only_is_refused(classifier: Bundle) -> None:
    frames, labels = colours(300)
    frames[:, 1] += 2
    with pytest.raises(SourceError, match=r"the whole model, all inputs .* of one class \(1\)"):
        train_exits(classifier, data(frames, labels))
    frames, _ = colours(300)
    with pytest.raises(SourceError, match=r"the labels file, all inputs .* of one class \(2\)"):
        train_exits(classifier, data(frames, [2] * 300))


def test_labels_of_other_inputs_are_refused(classifier: Bundle) -> None:
    frames, labels = colours(300)
    with pytest.raises(SourceError, match="they are not of these inputs"):
        train_exits(classifier, data(frames, [(label + 1) % 3 for label in labels]))


@pytest.mark.parametrize("name", ["unet", "two_towers"])
def test_models_that_are_no_classifiers_are_told_what_they_have_instead(
    bundles: Callable[[str], Bundle], name: str
) -> None:
    with pytest.raises(UsageError, match=r"no classifier .* finished on the device"):
        train_exits(bundles(name), data(*colours(300)))


def test_cut_that_can_have_no_exit_is_refused(classifier: Bundle) -> None:
    with pytest.raises(UsageError, match="edge can have no exit"):
        cuts_to_exit(classifier, ["edge"])
    with pytest.raises(UsageError, match="an agreement of 2"):
        train_exits(classifier, data(*colours(300)), agreement=2)
    cut = cuts_to_exit(classifier)[0]
    odd = replace(cut.frontier[0], dtype="int64")
    assert features_of(cut.model_copy(update={"frontier": (odd,)})) == ()


def run(*words: object) -> None:
    app([str(word) for word in words], standalone_mode=False)


def test_commands_train_and_report(
    classifier: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(classifier.path, tmp_path / "m")
    frames, labels = colours(300)
    np.save(tmp_path / "x.npy", frames)
    rows = "".join(f"x.npy#{number},{label}\n" for number, label in enumerate(labels))
    (tmp_path / "labels.csv").write_text("file,label\n" + rows)
    given = ("--data", tmp_path / "x.npy", "--labels", tmp_path / "labels.csv")
    cut = cuts_to_exit(classifier)[0].id
    wanted = ("--cuts", cut, "--epochs", 2, "--agreement", 0.9)
    run("exits", "train", tmp_path / "m", *given, *wanted, "--json")
    made = json.loads(capsys.readouterr().out)
    assert [exit_["cut"] for exit_ in made["exits"]] == [cut]
    assert made["trained_samples"] == 240
    kept = (tmp_path / "m" / EXITS_FILE).read_bytes()

    run("exits", "report", tmp_path / "m", *given, "--threshold", "0.5", "--json")
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    row = next(row for row in document["exits"][0]["thresholds"] if not row["own"])
    assert row["threshold"] == 0.5
    assert row["samples"] == 300
    assert row["whole_accuracy"] > 0.8
    run("exits", "report", tmp_path / "m")
    told = capsys.readouterr()
    assert "*" in told.out
    assert "chosen for an agreement of at least 90 %" in " ".join(told.err.split())

    # 60 held-out inputs, all of which agree, show no more than 60 / 63.84 = 94 %.
    run("exits", "threshold", tmp_path / "m", "--agreement", 0.99)
    told = capsys.readouterr()
    assert "*" not in told.out
    assert f"No threshold reaches that at {cut}" in " ".join(told.err.split())
    assert "take 381 held-out inputs" in " ".join(told.err.split())
    run("exits", "threshold", tmp_path / "m", "--agreement", 0.9, "--json")
    again = json.loads(capsys.readouterr().out)
    assert again["exits"][0]["threshold"] == made["exits"][0]["threshold"]
    assert (tmp_path / "m" / EXITS_FILE).read_bytes() == kept

    with pytest.raises(SourceError):  # and what is there stays
        run("exits", "train", tmp_path / "m", *given, "--max-samples", 100)
    with pytest.raises(UsageError, match="which is missing"):
        run("exits", "report", tmp_path / "m", "--labels", tmp_path / "labels.csv")
    with pytest.raises(UsageError, match="has no exits"):
        run("exits", "report", classifier.path)
    assert (tmp_path / "m" / EXITS_FILE).read_bytes() == kept
    stage_files = {path.name for path in (tmp_path / "m").iterdir()}
    assert not any(name.startswith(f".{EXITS_FILE}") for name in stage_files)
