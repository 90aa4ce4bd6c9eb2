"""What is timed again: cuts of which it is open which is best on some link, and no others."""

from partitioner.profiles.contenders import undecided
from partitioner.profiles.profile import CutProfile, Estimate, StageProfile, Timing
from tests.kit.profiles import codec


def stage(milliseconds: float, error_ms: float) -> StageProfile:
    seconds = 1e-3 * milliseconds
    timing = Timing(median_s=seconds, p10_s=seconds, p90_s=seconds, repeats=5)
    estimate = Estimate(seconds=seconds, alone_s=seconds, error_s=1e-3 * error_ms, repeats=5)
    return StageProfile(timing=timing, memory_bytes=1, estimate=estimate)


def cut(head: float, tail: float, size: float, error_ms: float = 0.0) -> CutProfile:
    return CutProfile(
        head=stage(head, error_ms) if head else None,
        tail=stage(tail, error_ms) if tail else None,
        frontier_bytes=1,
        download_bytes=1,
        codecs={"raw": codec(size), "q2": codec(size / 16)},
    )


def raw_alone(_cut: str, codec_name: str) -> bool:
    return codec_name == "raw"


def test_cuts_that_may_be_best_contend_until_their_times_tell_them_apart() -> None:
    # cut-02 takes 50 ms more than cut-01 in all and sends as much: no link makes it best.
    known = {
        "cloud": cut(0, 100, 150_000),
        "cut-01": cut(20, 80, 10_000),
        "cut-02": cut(70, 80, 10_000),
        "edge": cut(100, 0, 0),
    }
    assert "cut-02" not in undecided(known, raw_alone)
    unsure = {**known, "cut-01": cut(20, 80, 10_000, 30), "cut-02": cut(70, 80, 10_000, 30)}
    assert {"cut-01", "cut-02"} <= undecided(unsure, raw_alone)


def test_nothing_contends_with_a_cut_that_is_best_everywhere() -> None:
    found = undecided({"cut-01": cut(1, 1, 100), "cut-02": cut(50, 50, 1e6)}, raw_alone)
    assert found == frozenset()


def test_codec_that_plans_do_not_offer_makes_no_contender() -> None:
    known = {"cut-01": cut(20, 80, 10_000), "cut-02": cut(60, 40, 20_000), "edge": cut(100, 0, 0)}
    small = {**known, "cut-02": cut(60, 40, 160_000)}
    assert "cut-02" not in undecided({**small, "edge": cut(61, 0, 0)}, raw_alone)
    assert "cut-02" in undecided(small, lambda name, codec: codec == "raw" or name == "cut-02")
