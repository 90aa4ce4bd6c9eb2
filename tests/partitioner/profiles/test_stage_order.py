"""Heads and tails under the order of their cuts, on machines whose true times are known."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.common.least_distance import Floats
from partitioner.profiles.profile import CutProfile, Profile, StageProfile, Timing
from partitioner.profiles.stage_order import (
    SIDES,
    Side,
    estimates_of,
    heads_of,
    nested_cuts,
    under_order,
)
from partitioner.profiles.timing import Repeat, undisturbed
from tests.kit.profiles import MACHINE, codec, profile_of


def stage_of(taken: list[float], alone: list[float] | None = None) -> StageProfile:
    (estimate,) = estimates_of([taken if alone is None else alone])
    return StageProfile(timing=Timing.of(taken), memory_bytes=1, estimate=estimate)


def cut_of(head: StageProfile | None, tail: StageProfile | None, size: int = 0) -> CutProfile:
    # Writing the raw values takes a nanosecond a byte.
    codecs = {"raw": codec(size, encode_s=1e-9 * size)}
    return CutProfile(head=head, tail=tail, frontier_bytes=size, download_bytes=1, codecs=codecs)


def chain(heads_ms: Sequence[float], sizes: Sequence[int] = ()) -> dict[str, CutProfile]:
    found = {}
    for at, head_ms in enumerate(heads_ms):
        # Repeats of 2 % around the median, so that all heads are as sure.
        repeats = [0.98e-3 * head_ms, 1e-3 * head_ms, 1.02e-3 * head_ms]
        found[f"cut-{at}"] = cut_of(stage_of(repeats), None, sizes[at] if sizes else 0)
    return found


NESTED = tuple((f"cut-{i}", f"cut-{j}") for i in range(9) for j in range(i + 1, 9))


def heads_ms(cuts: dict[str, CutProfile]) -> list[float]:
    return [1e3 * cut.head.seconds for cut in cuts.values() if cut.head]


def head_s(cuts: dict[str, CutProfile], name: str) -> float:
    head = cuts[name].head
    assert head
    return head.seconds


def test_head_that_took_longer_than_the_one_around_it_is_drawn_to_it() -> None:
    raw = chain((2.0, 8.2, 4.3, 9.0))
    found, breaks = under_order(raw, NESTED)
    assert heads_ms(found)[0] == pytest.approx(2.0)
    assert heads_ms(found)[3] == pytest.approx(9.0)
    first, second = heads_ms(found)[1:3]
    assert 4.3 < first <= second + 1e-9 < 8.2
    # Both are as sure in shares, so the shorter one weighs (8.2 / 4.3)² times as much.
    weight = (8.2 / 4.3) ** 2
    assert first == pytest.approx((8.2 + weight * 4.3) / (1 + weight))
    (broken,) = breaks
    assert (broken.side, broken.smaller, broken.larger) == ("head", "cut-1", "cut-2")
    assert broken.share == pytest.approx(8.2 / 4.3 - 1)
    for name, cut in found.items():
        timed = raw[name].head
        assert cut.head
        assert timed
        assert cut.head.timing == timed.timing
        assert timed.estimate
        assert cut.head.estimate
        assert cut.head.estimate.alone_s == timed.estimate.alone_s


def test_head_that_writes_more_may_take_that_much_longer() -> None:
    # A megabyte more, written and read once more at a nanosecond a byte: 2 ms.
    raw = chain((5.0, 4.0), sizes=(1_500_000, 500_000))
    found, breaks = under_order(raw, NESTED)
    assert heads_ms(found) == pytest.approx([5.0, 4.0])
    assert breaks == ()
    found, breaks = under_order(chain((7.0, 4.0), sizes=(1_500_000, 500_000)), NESTED)
    assert heads_ms(found)[0] == pytest.approx(heads_ms(found)[1] + 2.0)
    assert breaks[0].share == pytest.approx(5.0 / 4.0 - 1)


def test_branches_that_do_not_lie_in_each_other_are_left_apart() -> None:
    raw = chain((9.0, 1.0, 10.0))
    found, breaks = under_order(raw, (("cut-0", "cut-2"), ("cut-1", "cut-2")))
    assert heads_ms(found) == pytest.approx([9.0, 1.0, 10.0])
    assert breaks == ()


def test_cuts_of_a_bundle_lie_in_each_other_as_their_heads_do(residual_bundle: Bundle) -> None:
    heads, nested = heads_of(residual_bundle), set(nested_cuts(residual_bundle))
    assert nested
    for first in heads:
        for second in heads:
            assert ((first, second) in nested) == (heads[first] < heads[second])
        assert first == "cloud" or ("cloud", first) in nested


def test_device_with_heads_alone_knows_no_order(middle_head: Bundle) -> None:
    assert nested_cuts(middle_head) == ()


def noisy_profile(
    bundle: Bundle, seed: int, turns: int
) -> tuple[dict[str, CutProfile], dict[str, CutProfile]]:
    """What a machine measures whose pace wanders: every few stages it takes 1.4 times as long for a while.

    Truly the whole takes 10 ms, and head and tail of a cut as long together. Return that beside it.
    """
    rng = np.random.default_rng(seed)
    true = profile_of(bundle, 0.010).cuts
    stages = {(name, side): stage.seconds for name, side, stage in stages_of(true)}
    repeats: dict[tuple[str, str], list[Repeat]] = {key: [] for key in stages}
    now_s, slow = 0.0, 1.0
    for _ in range(turns):
        for key, seconds in stages.items():
            if rng.random() < 0.04:
                slow = 1.0 if slow > 1 else 1.4
            took_s = seconds * slow * rng.lognormal(0, 0.03)
            repeats[key].append(Repeat(now_s, took_s))
            now_s += took_s
    alone = undisturbed(list(repeats.values()))
    measured = dict(true)
    for (name, side), estimate in zip(repeats, estimates_of(alone), strict=True):
        taken = [repeat.seconds for repeat in repeats[name, side]]
        stage = StageProfile(timing=Timing.of(taken), memory_bytes=1, estimate=estimate)
        measured[name] = measured[name].model_copy(update={side: stage})
    return measured, true


def stages_of(cuts: Mapping[str, CutProfile]) -> list[tuple[str, Side, StageProfile]]:
    return [
        (name, side, stage)
        for name, cut in cuts.items()
        for side in SIDES
        if (stage := getattr(cut, side))
    ]


def errors_of(bundle: Bundle, turns: int, seeds: int) -> tuple[Floats, Floats]:
    """By how much medians and estimates are off at each seed: the root of the mean square, in seconds."""
    off: list[tuple[float, float]] = []
    for seed in range(seeds):
        measured, true = noisy_profile(bundle, seed, turns)
        found, _ = under_order(measured, nested_cuts(bundle))
        wanted = np.array([stage.seconds for _, _, stage in stages_of(true)])
        medians = np.array([stage.timing.median_s for _, _, stage in stages_of(found)])
        estimates = np.array([stage.seconds for _, _, stage in stages_of(found)])
        off.append(
            (
                float(np.sqrt(np.mean((medians - wanted) ** 2))),
                float(np.sqrt(np.mean((estimates - wanted) ** 2))),
            )
        )
    return np.array(off)[:, 0], np.array(off)[:, 1]


@pytest.mark.parametrize(("turns", "share"), [(3, 0.6), (5, 0.3), (10, 0.2)])
def test_estimates_come_nearer_to_the_truth_than_medians_from_three_repeats_on(
    residual_bundle: Bundle, turns: int, share: float
) -> None:
    medians, estimates = errors_of(residual_bundle, turns, seeds=40)
    assert np.mean(estimates) < share * np.mean(medians)
    # Where the machine is slow from the first to the last repeat, neither can tell.
    assert np.mean(estimates <= 1.1 * medians) >= 0.9


def test_three_repeats_that_agree_by_chance_are_no_surer_than_the_others() -> None:
    disturbed = [1.0, 1.3, 1.7]
    one, *others = estimates_of([[1.0, 1.0001, 1.0002], *[disturbed] * 9])
    # Squares of logarithms add up to 0.1410 in each of nine, of 20 degrees of freedom: 0.0634 in the mean. Of
    # the first: 4 · 0.0634 / (4 + 2), the root 0.206, and 2.456 · 0.206 / sqrt(3) = 0.292.
    assert one.error_s == pytest.approx(0.292, abs=0.002)
    assert others[0].error_s / others[0].seconds == pytest.approx(0.364, abs=0.002)


def test_head_and_tail_that_take_more_than_the_whole_together_are_drawn_to_it() -> None:
    def whole_of(repeats: list[float]) -> dict[str, CutProfile]:
        cuts = {"cloud": cut_of(None, stage_of([10.0] * 20))}
        cuts |= {f"cut-{at}": cut_of(stage_of([5.0] * 20), stage_of([5.0] * 20)) for at in range(9)}
        cuts["cut-9"] = cut_of(stage_of(repeats), stage_of([5.0] * 20))
        return cuts | {"edge": cut_of(stage_of([10.0] * 20), None)}

    nested = (("cloud", "edge"), *((f"cut-{at}", "edge") for at in range(10)))
    few, _ = under_order(whole_of([6.0, 8.0, 12.0]), nested)
    many, _ = under_order(whole_of([7.9, 8.0, 8.1] * 20), nested)
    # What was repeated often is as it was measured.
    assert head_s(few, "cut-9") == pytest.approx(5.0, abs=0.3)
    assert head_s(many, "cut-9") == pytest.approx(8.0, abs=0.3)
    assert head_s(many, "cut-0") == pytest.approx(5.0, abs=0.1)


def test_what_every_cut_takes_beside_the_whole_is_left_to_it() -> None:
    """A session of its own takes 1 ms more for each part, as copies to an accelerator do."""
    cuts = {"cloud": cut_of(None, stage_of([9.9, 10.0, 10.1]))}
    for at in range(1, 10):
        parts = [[x * (1 + each) for x in (0.99, 1.0, 1.01)] for each in (at, 10 - at)]
        cuts[f"cut-{at}"] = cut_of(stage_of(parts[0]), stage_of(parts[1]))
    cuts["edge"] = cut_of(stage_of([9.9, 10.0, 10.1]), None)
    nested = tuple((f"cut-{i}", f"cut-{j}") for i in range(1, 10) for j in range(i + 1, 10))
    found, _ = under_order(cuts, nested)
    for at in range(1, 10):
        assert head_s(found, f"cut-{at}") == pytest.approx(1 + at, rel=0.02)


def test_older_profile_is_planned_with_by_its_medians(residual_bundle: Bundle) -> None:
    old = profile_of(residual_bundle, 0.01).model_dump(mode="json")
    for cut in old["cuts"].values():
        for side in SIDES:
            if cut[side]:
                del cut[side]["estimate"]
    del old["order_breaks"]
    read = Profile.parse(old, "old.json")
    whole = read.cuts["edge"].head
    assert whole is not None
    assert whole.seconds == whole.timing.median_s == 0.01
    assert read.machine == MACHINE


def test_scaled_estimate_is_scaled_with_all_its_times() -> None:
    cuts = chain((2.0, 3.0))
    profile = Profile(
        splitpoint="0", bundle="m", bundle_digest="0", machine=MACHINE, measured_at="", inputs="random",
        cuts=cuts,
    )  # fmt: skip
    before, after = cuts["cut-1"].head, profile.scaled(4).cuts["cut-1"].head
    assert before
    assert after
    assert before.estimate
    assert after.estimate
    assert after.seconds == pytest.approx(4 * before.seconds)
    assert after.estimate.alone_s == pytest.approx(4 * before.estimate.alone_s)
    assert after.error_s == pytest.approx(4 * before.error_s)
    assert after.estimate.repeats == before.estimate.repeats
