"""Which options a plan's table shows."""

from partitioner.network.link import Link
from partitioner.planning.answer import Answer
from partitioner.planning.objective import LATENCY, Objective
from partitioner.planning.plan import plan
from partitioner.planning.selection import select
from partitioner.reports.plans.plan import plan_table
from partitioner.reports.plans.rows import rows_worth_showing
from tests.kit.profiles import codec, make

CODECS = ("raw", "half", "int8", "q4", "q2")
SLOW = {f"cut-{at:02d}": at / 50 for at in range(1, 21)}


def many(split_s: dict[str, float], link: Link) -> Answer:
    """A plan of 22 cuts and five codecs; a split takes its seconds on the edge, and nothing in the cloud."""
    codecs = {name: codec(40_000 / (place + 1)) for place, name in enumerate(CODECS)}
    cuts = {
        "cloud": (0.0, 0.01, {"raw": codec(400_000), "jpeg-75": codec(40_000)}),
        **{cut: (seconds, 0.0, codecs) for cut, seconds in split_s.items()},
        "edge": (0.5, 0.0, {}),
    }
    bundle, profile = make(cuts)
    # No loss was measured, so all codecs are options only if each is asked for by name.
    plans = [plan(bundle, link, profile, profile, codec=name) for name in (*CODECS, "jpeg-75")]
    found = dict.fromkeys(option for one in plans for option in one.options)
    made = plan(bundle, link, profile, profile)
    object.__setattr__(made, "options", tuple(sorted(found, key=lambda o: list(cuts).index(o.cut))))
    return Answer(select(made))


def labels(answer: Answer) -> list[str]:
    return [candidate.option.label for candidate in rows_worth_showing(answer)]


def test_few_rows_of_a_hundred_are_shown_and_all_on_request() -> None:
    answer = many(SLOW, Link(1e6, 1e6, 0.02))
    every = [candidate.option for candidate in answer.selection.candidates]
    assert len(every) == 103
    assert 4 <= len(labels(answer)) <= 12
    best = answer.best.option
    assert plan_table(answer.selection.plan, every, best).row_count == 103


def test_best_and_both_ends_are_always_among_them() -> None:
    for uplink in (1e4, 1e6, 1e9):
        answer = many(SLOW, Link(uplink, 1e6, 0.02))
        assert {answer.best.option.label, "cloud/jpeg-75", "edge"} <= set(labels(answer))


def test_best_split_and_best_exact_split_are_there_though_an_end_wins() -> None:
    # On 10 kbit/s only the edge is any good; of the splits, those that send least; raw: the earliest cut.
    shown = labels(many(SLOW, Link(1e4, 1e6, 0.02)))
    assert "cut-01/q2" in shown
    assert "cut-01/raw" in shown


def test_what_other_uplinks_make_best_is_shown() -> None:
    answer = many(SLOW, Link(1e6, 1e6, 0.02))
    switches = answer.selection.plan.switches()
    assert switches
    assert {switch.above.label for switch in switches} <= set(labels(answer))
    other = Answer(select(answer.selection.plan, objective=Objective.parse("bytes")))
    assert len(rows_worth_showing(other)) <= len(rows_worth_showing(answer))
    assert answer.selection.objective == LATENCY


def test_three_more_cuts_that_nearly_are_the_best_are_shown_with_their_best_codec() -> None:
    # All cuts within 1 % of each other: the best, and three more.
    near = {f"cut-{at:02d}": 0.1 + at / 10_000 for at in range(1, 21)}
    shown = labels(many(near, Link(1e6, 1e6, 0.02)))
    assert [one for one in shown if one.endswith("/q2")] == [
        "cut-01/q2", "cut-02/q2", "cut-03/q2", "cut-04/q2",
    ]  # fmt: skip
