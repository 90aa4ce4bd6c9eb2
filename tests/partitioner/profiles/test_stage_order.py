"""Heads and tails under the order of their cuts, on machines whose true times are known."""

from collections.abc import Sequence

import numpy as np
import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.profiles.profile import CutProfile, Profile, StageProfile, Timing
from partitioner.profiles.stage_order import (
    SIDES,
    estimate_of,
    heads_of,
    nested_cuts,
    under_order,
)
from partitioner.profiles.timing import Repeat, undisturbed
from tests.kit.profiles import MACHINE, codec, profile_of


def stage_of(taken: list[float], alone: list[float] | None = None) -> StageProfile:
    timing = Timing.of(taken)
    estimate = estimate_of(taken if alone is None else alone, timing)
    return StageProfile(timing=timing, memory_bytes=1, estimate=estimate)


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


def noisy_profile(bundle: Bundle, seed: int) -> tuple[dict[str, CutProfile], Profile]:
    """What a machine measures whose pace wanders: every few turns it takes 1.4 times as long for a while."""
    rng = np.random.default_rng(seed)
    true = profile_of(bundle, 0.010)
    stages = [
        (name, side, stage.seconds)
        for name, cut in true.cuts.items()
        for side in SIDES
        if (stage := getattr(cut, side))
    ]
    repeats: dict[tuple[str, str], list[Repeat]] = {(name, side): [] for name, side, _ in stages}
    now_s, slow = 0.0, 1.0
    for _ in range(10):
        for name, side, seconds in stages:
            if rng.random() < 0.04:
                slow = 1.0 if slow > 1 else 1.4
            took_s = seconds * slow * rng.lognormal(0, 0.03)
            repeats[name, side].append(Repeat(now_s, took_s))
            now_s += took_s
    alone = undisturbed(list(repeats.values()))
    measured = dict(true.cuts)
    for (name, side), seconds in zip(repeats, alone, strict=True):
        taken = [repeat.seconds for repeat in repeats[name, side]]
        stage = stage_of(taken, seconds)
        measured[name] = measured[name].model_copy(update={side: stage})
    return measured, true


@pytest.mark.parametrize("seed", range(6))
def test_estimates_come_nearer_to_the_truth_than_medians(
    residual_bundle: Bundle, seed: int
) -> None:
    measured, true = noisy_profile(residual_bundle, seed)
    found, _ = under_order(measured, nested_cuts(residual_bundle))
    raw, ordered, surprises = [], [], {"alone": 0.0, "ordered": 0.0}
    for name, cut in found.items():
        for side in SIDES:
            stage, wanted = getattr(cut, side), getattr(true.cuts[name], side)
            if stage:
                raw.append(stage.timing.median_s - wanted.seconds)
                ordered.append(stage.seconds - wanted.seconds)
                known = stage.estimate
                surprises["alone"] += ((known.alone_s - wanted.seconds) / known.error_s) ** 2
                surprises["ordered"] += ((known.seconds - wanted.seconds) / known.error_s) ** 2
    # To project on a set that holds the truth brings every point nearer to it, each by its weight.
    assert surprises["ordered"] <= surprises["alone"] * (1 + 1e-9)
    assert np.linalg.norm(ordered) < 0.7 * np.linalg.norm(raw)


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
