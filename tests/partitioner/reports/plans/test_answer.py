"""The sentence that a plan begins with, on plans made by hand."""

import pytest

from partitioner.bundle.accuracy import Accuracy
from partitioner.devices.throughput import Throughput
from partitioner.network.link import Link
from partitioner.planning import constraints
from partitioner.planning.answer import Answer
from partitioner.planning.constraints import Constraint
from partitioner.planning.guesses import guesses
from partitioner.planning.objective import LATENCY, Objective
from partitioner.planning.plan import Plan, plan
from partitioner.planning.selection import select
from partitioner.planning.terms import Prices, Terms
from partitioner.profiles.profile import Profile, StageProfile, Timing
from partitioner.reports.plans.answer import answer_json, answer_text
from tests.kit.plans import BOARD, RADIO
from tests.kit.profiles import codec, make

CUTS = {
    "cloud": (0.0, 0.100, {"raw": codec(100_000), "jpeg-75": codec(39_500, 0.004, 0.002)}),
    "cut-01": (0.030, 0.070, {"raw": codec(10_000, 0.001, 0.001)}),
    "edge": (0.100, 0.0, {}),
}
# On 4 Mbit/s and 5 ms, an answer of 1,000 bytes in 2 ms; a cloud that takes a tenth of the edge's times:
# cut-01: 31 + 5 + 20 + 2 + 7.1 = 65.1 ms; JPEG: 4 + 5 + 79 + 2 + 10.2 = 100.2 ms; the edge: 100 ms.
LINK = Link(4e6, 4e6, 0.005)


def measured(profile: Profile) -> Profile:
    """A profile of a machine of its own, so that nothing is taken for scaled."""
    return profile.model_copy(update={"measured_at": "2026-01-02T00:00:00+00:00", "scale": 1.0})


def planned(link: Link = LINK, edge_scale: float = 1.0, cuts: object = None) -> Plan:
    bundle, profile = make(cuts or CUTS)  # type: ignore[arg-type]
    edge = profile.scaled(edge_scale) if edge_scale != 1 else profile
    return plan(bundle, link, edge, measured(profile.scaled(0.1)))


def answer(
    made: Plan,
    objective: Objective = LATENCY,
    terms: Terms | None = None,
    limits: tuple[Constraint, ...] = (),
) -> Answer:
    return Answer(select(made, terms, objective, limits))


def test_split_is_held_against_the_better_end() -> None:
    assert answer_text(answer(planned())) == (
        "cut-01/raw is best: 65.1 ms, 35 % less than the better end, everything on the edge (100 ms; "
        "everything in the cloud as JPEG: 100 ms); it loses nothing."
    )


def test_edge_that_nothing_beats_is_said_to_be() -> None:
    # On 0.5 Mbit/s: cut-01 takes 31 + 5 + 160 + 16 + 7.1 ms.
    assert answer_text(answer(planned(Link(0.5e6, 0.5e6, 0.005)))).startswith(
        "Nothing beats staying on the device: 100 ms (the best split, cut-01/raw: 219 ms; everything in the "
        "cloud as JPEG: 667 ms); it loses nothing."
    )


def test_cloud_that_nothing_beats_is_said_to_be_and_what_its_codec_loses() -> None:
    # On 100 Mbit/s without a round trip: raw 8 + 0.08 + 10 ms, JPEG 4 + 3.16 + 0.08 + 10.2 = 17.4 ms.
    assert answer_text(answer(planned(Link(100e6, 100e6, 0.0)))) == (
        "Nothing beats sending everything to the cloud as JPEG: 17.4 ms (the best split, cut-01/raw: 39.0 "
        "ms; everything on the edge: 100 ms); what jpeg-75 loses was not measured."
    )


def test_cloud_end_is_its_best_codec_where_it_sends_no_images() -> None:
    cuts = {**CUTS, "cloud": (0.0, 0.1, {"raw": codec(100_000), "half": codec(50_000)})}
    bundle, profile = make(cuts)
    made = plan(bundle, LINK, profile, measured(profile), codec="half")
    found = answer(made)
    assert found.cloud_end is not None
    assert found.cloud_end.option.label == "cloud/half"
    assert "everything in the cloud with half" in answer_text(found)


def test_loss_is_said_as_measured() -> None:
    made = planned()
    kinds = {
        (19, 20): "it loses 5.00 points of accuracy, as measured on 20 inputs",
        (20, 20): "it loses nothing of accuracy, as measured on 20 inputs",
    }
    for (right, whole), sentence in kinds.items():
        seen = Accuracy(
            cut="cloud", codec="jpeg-75", samples=20, payload_bytes=1, agreeing=20,
            labelled=20, right=right, whole_right=whole,
        )  # fmt: skip
        object.__setattr__(made.options[1], "accuracy", seen)
        fast = made.at(Link(100e6, 100e6, 0.0))
        assert sentence in answer_text(answer(fast))


def test_win_within_the_noise_is_no_win() -> None:
    # Five runs of the edge between 80 and 160 ms: 0.958 * 80 / sqrt(5) = 34.3 ms; the split saves 34.9.
    for p90_s, is_noise in ((0.160, False), (0.165, True)):
        bundle, profile = make(CUTS)
        timing = Timing(median_s=0.1, p10_s=0.080, p90_s=p90_s, repeats=5)
        whole = profile.cuts["edge"].model_copy(
            update={"head": StageProfile(timing=timing, memory_bytes=1)}
        )
        noisy = profile.model_copy(update={"cuts": {**profile.cuts, "edge": whole}})
        found = answer(plan(bundle, LINK, noisy, measured(profile.scaled(0.1))))
        assert found.is_within_noise == is_noise
        assert ("within the noise of the profiles" in answer_text(found)) == is_noise


def test_device_that_holds_heads_has_no_edge_to_stay_on() -> None:
    bundle, profile = make(CUTS)
    held = profile.model_copy(
        update={"cuts": {cut: found for cut, found in profile.cuts.items() if cut != "edge"}}
    )
    text = answer_text(answer(plan(bundle, LINK, held, measured(profile.scaled(0.1)))))
    assert "less than the only end, everything in the cloud as JPEG (100 ms)" in text
    assert "This device holds heads alone, so that it cannot do everything." in text


def test_end_that_misses_a_limit_is_said_to() -> None:
    text = answer_text(answer(planned(), limits=(constraints.deadline(0.099),)))
    assert text.startswith(
        "Within --deadline 99.0ms: cut-01/raw is best: 65.1 ms, and no end keeps the limits; it loses"
    )
    assert "Everything in the cloud as JPEG misses --deadline." in text
    assert "Everything on the edge misses --deadline." in text
    local = answer_text(answer(planned(), limits=(constraints.keep_input_local(),)))
    assert "Everything in the cloud as JPEG misses --keep-input-local." in local


@pytest.mark.parametrize(
    ("objective", "sentence"),
    [
        # The slowest stages: cut-01 its head of 31 ms; JPEG its upload of 79 ms; the edge 100 ms.
        (
            "throughput",
            "cut-01/raw is best: 32.3 frames/s at a latency of 65.1 ms, 155 % more than the better end, "
            "everything in the cloud as JPEG (12.7 frames/s; everything on the edge: 10 frames/s)",
        ),
        ("bytes", "Nothing beats staying on the device: 0 B a frame at a latency of 100 ms"),
        ("p95", "cut-01/raw is best: 65.1 ms at p95 at a latency of 65.1 ms, 35 % less than"),
        (
            "latency=1,bytes=1e-7",
            "cut-01/raw is best: 0.0662 of 1·latency + 1e-07·bytes at a latency of 65.1 ms, 34 % less",
        ),
        ("cost", "Nothing beats staying on the device: 0 a frame, 0.00 a month at a latency"),
    ],
)
def test_sentence_speaks_of_what_is_minimised(objective: str, sentence: str) -> None:
    terms = Terms(prices=Prices(0.1, 0.1), fps=1.0)
    assert sentence in answer_text(answer(planned(), Objective.parse(objective), terms))


def test_lone_frame_pays_for_the_tail_and_frames_in_a_row_do_not() -> None:
    # cut-01 computes 31 ms at 6 W: 186 mJ; bytes 0.5 * 0.08 + 0.1 * 0.008 = 40.8 mJ; awake 27 ms at 1 W:
    # 27 mJ; idle 34.1 ms at 2 W: 68.2 mJ; together 322 mJ; the tail, 0.3 s at 0.8 W: 240 mJ. The edge: 600.
    energy = Objective.parse("energy")
    text = answer_text(answer(planned(), energy, Terms(BOARD, RADIO)))
    assert text.startswith("cut-01/raw is best: 562 mJ a frame at a latency of 65.1 ms, 6 % less")
    assert text.endswith(
        "A frame that comes alone pays for the radio's whole tail, 300 ms at 0.8 W: cut-01/raw takes 562 mJ "
        "with it and 322 mJ without. For frames in a row, give --fps."
    )
    assert "tail" not in answer_text(answer(planned(), energy, Terms(BOARD, RADIO, fps=5)))
    long = RADIO.model_copy(update={"tail_s": 10.0})
    tailed = answer_json(answer(planned(), energy, Terms(BOARD, long)))
    assert tailed["best"]["cut"] == "edge"
    assert tailed["radio_tail"]["tail_j"] == pytest.approx(8.0)
    assert tailed["radio_tail"]["energy_without_tail_j"] == pytest.approx(0.3220)
    assert tailed["radio_tail"]["best_without_tail"]["cut"] == "cut-01"


def test_scaled_edge_is_said_to_be_and_whether_the_answer_holds() -> None:
    made = planned(edge_scale=2.0)
    found = guesses(made)
    # At f times the edge's 62 and 200 ms, cut-01 takes 62 f + 34.1 ms, JPEG 8 f + 96.2 ms: equal at 1.15.
    text = answer_text(answer(made), found)
    assert text.endswith(
        "The edge is scaled, not measured: its times are multiplied by 2; suppose 0.5x to 2x of these. "
        "cut-01/raw stays the best from 0.5x to 1.1x of the edge's times (at 2x it is cloud/jpeg-75)."
    )
    facts = answer_json(answer(made), found)
    assert facts["not_measured"][0]["same_to"] == pytest.approx(62.1 / 54, rel=1e-3)
    assert not facts["same_over_ranges"]


def test_device_by_its_throughput_says_threads_and_range() -> None:
    rates = tuple(
        Throughput(
            threads=threads, dense_gflops=9, depthwise_gflops=2, memory_gb_s=1, low=0.5, high=3
        )
        for threads in (1, 4)
    )
    board = BOARD.model_copy(update={"throughput": rates})
    made = planned(edge_scale=0.4)
    found = guesses(made, board)
    terms = Terms(board, RADIO)
    text = answer_text(answer(made, terms=terms), found)
    assert (
        "by the throughput of board with 1 thread (as splitpoint-edge run has it; --threads 4 for more), so "
        "that its times may really be 0.5x to 3x of these, for the whole model 20.0 ms to 120 ms instead of "
        "40.0 ms (docs/planning.md)"
    ) in text
    with_all = Terms(board.with_threads(4), RADIO)
    assert "of board with 4 threads (as asked), so" in answer_text(
        answer(made, terms=with_all), found
    )
    # 0.4: a board that comes out faster than the machine that was measured.
    assert "Its factor 0.4 is below 1, as if board were faster than the" in text
    slow = planned(edge_scale=4)
    slower = answer_text(answer(slow, terms=terms), guesses(slow, board))
    assert "below 1" not in slower


def test_measured_sides_are_no_guesses_and_a_cloud_that_is_assumed_is_one() -> None:
    assert guesses(planned()) == ()
    bundle, profile = make(CUTS)
    (guess,) = guesses(plan(bundle, LINK, profile, profile.scaled(0.1)))
    assert (guess.role, guess.kind, guess.scale) == ("cloud", "assumed", 0.1)
    text = answer_text(answer(plan(bundle, LINK, profile, profile.scaled(0.1))), (guess,))
    assert text.endswith(
        "The cloud is scaled, not measured: its times are those of the edge's machine, times 0.1; suppose "
        "0.5x to 2x of these. Over that range cut-01/raw stays the best."
    )


def test_facts_of_the_sentence_are_a_document() -> None:
    facts = answer_json(answer(planned()))
    assert facts["sentence"].startswith("cut-01/raw is best")
    assert facts["compared_with"] == facts["ends"]["edge"]
    assert facts["saves"] == pytest.approx(0.1 - 0.0651)
    assert facts["loses"] == {"drop_points": 0.0}
    assert facts["radio_tail"] is None
