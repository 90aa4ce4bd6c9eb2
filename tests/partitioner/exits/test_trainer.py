"""Exits: trained on what crosses, honest about how sure they are, and refused where they would lie."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.exits import BundleExits
from partitioner.exits.features import features_of
from partitioner.exits.trainer import cuts_to_exit, measure_exits, train_exits
from protos.errors import SourceError, UsageError
from tests.kit.exit_models import colours, data, first_cut


def test_exits_agree_as_promised_on_inputs_that_nobody_has_seen(
    classifier: Bundle, trained: BundleExits
) -> None:
    assert list(trained.by_cut) == [cut.id for cut in cuts_to_exit(classifier)]
    frames, labels = colours(300, seed=9)
    measured = measure_exits(classifier, trained, data(frames, labels))
    for cut, found in trained.by_cut.items():
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


def test_too_few_inputs_are_refused(classifier: Bundle) -> None:
    with pytest.raises(SourceError, match=r"160 inputs to train .* 40 to judge .* at least 250"):
        train_exits(classifier, data(*colours(200)))
    with pytest.raises(SourceError, match="at least 200 and 50"):
        train_exits(classifier, data(*colours(200)), data(*colours(20)))


def test_classes_that_come_in_turn_are_judged_with_all_of_them(classifier: Bundle) -> None:
    frames, labels = colours(1500)
    by_class = [[at for at, label in enumerate(labels) if label == one] for one in range(3)]
    order = [
        place
        for turn in range(80)
        for place in (*by_class[0][2 * turn : 2 * turn + 2], *by_class[1][2 * turn : 2 * turn + 2],
                      by_class[2][turn])
    ]  # fmt: skip
    every_fifth = {labels[place] for place in order[4::5]}
    assert every_fifth == {2}
    found = train_exits(
        classifier, data(frames[order], [labels[place] for place in order]), epochs=1,
        cuts=[first_cut(classifier)],
    )  # fmt: skip
    assert found.meta.held_out_samples == 80


def test_one_class_only_is_refused(classifier: Bundle) -> None:
    frames, labels = colours(300)
    frames[:, 1] += 2
    with pytest.raises(SourceError, match=r"by the whole model, all inputs .* of one class \(1\)"):
        train_exits(classifier, data(frames, labels))
    frames, _ = colours(300)
    with pytest.raises(SourceError, match=r"by the labels, all inputs .* of one class \(2\)"):
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
