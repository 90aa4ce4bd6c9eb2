"""A profile as text."""

from dataclasses import replace

import pytest

from partitioner.network.link import Link
from partitioner.planning.plan import plan
from partitioner.profiles.profile import OrderBreak, Timing
from partitioner.reports.plans.plan import scale_notes
from partitioner.reports.profile import measurement_notes, noise_text
from tests.kit.profiles import EXAMPLE, make, spread_out


def test_profile_of_a_busy_machine_is_remarked_on() -> None:
    bundle, quiet = make(EXAMPLE)
    assert quiet.spread == 0
    timing = Timing(median_s=0.1, p10_s=0.06, p90_s=0.12, repeats=5)
    edge = quiet.cuts["edge"]
    assert edge.head is not None
    cut = edge.model_copy(update={"head": edge.head.model_copy(update={"timing": timing})})
    busy = quiet.model_copy(update={"cuts": {"edge": cut}})
    assert busy.spread == pytest.approx(0.6)  # (0.12 - 0.06) / 0.1
    assert noise_text((quiet, "cloud")) is None
    whole = plan(bundle, Link(1e6, 1e6, 0.01), quiet, quiet)
    said = " ".join(scale_notes(replace(whole, edge=busy, cloud=busy.scaled(0.5))))
    assert said.count("the edge's times vary by 60 % from p10 to p90") == 1
    assert "cloud's times vary" not in said


def test_two_busy_machines_are_one_note_and_factors_have_three_digits() -> None:
    bundle, quiet = make(EXAMPLE)
    edge = spread_out(quiet, {"head": 0.9, "tail": 0.9})
    there = quiet.model_copy(update={"measured_at": "2026-01-02T00:00:00+00:00"})
    cloud = spread_out(there, {"head": 0.8, "tail": 0.8}).scaled(0.829437)
    made = plan(bundle, Link(1e6, 1e6, 0.01), quiet, quiet)
    notes = scale_notes(replace(made, edge=edge, cloud=cloud))
    assert [note for note in notes if "vary by" in note] == [
        f"the cloud's and the edge's times vary by {100 * cloud.spread:.0f} % and "
        f"{100 * edge.spread:.0f} % from p10 to p90, as if something else had run there; measure again "
        "when it is idle, or longer (--budget)."
    ]
    assert any(note.endswith("scaled by 0.829.") for note in notes)


def test_times_that_break_the_order_of_the_cuts_are_named() -> None:
    _, quiet = make(EXAMPLE)
    breaks = (
        OrderBreak(side="head", smaller="cut-03", larger="cut-04", share=0.907),
        OrderBreak(side="tail", smaller="cut-06", larger="cut-05", share=0.5),
    )
    (note,) = measurement_notes(quiet.model_copy(update={"order_breaks": breaks}), "edge", 15.0)
    assert note.startswith(
        "Note: the edge's repeats break the order of the cuts by up to 91 %: the head of cut-03 took longer "
        "than that of cut-04, in which it lies."
    )
    small = OrderBreak(side="head", smaller="cut-03", larger="cut-04", share=0.015)
    assert (
        measurement_notes(quiet.model_copy(update={"order_breaks": (small,)}), "edge", 15.0) == []
    )


def test_stages_of_three_repeats_are_said_to_have_too_few_with_a_budget_that_may_do() -> None:
    _, quiet = make(EXAMPLE)
    cut = quiet.cuts["cut-01"]
    assert cut.head
    timing = cut.head.timing.model_copy(update={"repeats": 3})
    head = cut.head.model_copy(update={"timing": timing})
    cuts = {**quiet.cuts, "cut-01": cut.model_copy(update={"head": head})}
    assert measurement_notes(quiet.model_copy(update={"cuts": cuts}), "edge", 15.0) == [
        "Note: 3 repeats of some of the edge's stages, which is too few to tell slow spells from slow "
        "stages: give --budget 30s."
    ]
