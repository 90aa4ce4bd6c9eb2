"""The sentence that frames over a trace begin with."""

from types import SimpleNamespace
from typing import cast

from partitioner.policy.settings import PolicySettings
from partitioner.reports.simulations.trace import runs_text
from partitioner.simulation.replay import Run


def run(policy: str, mean_s: float, missed: float = 0.0) -> Run:
    made = SimpleNamespace(
        policy=policy, mean_s=mean_s, missed=lambda _: missed, passages=(), period_s=0.0
    )
    return cast(Run, made)


RUNS = [
    run("cloud/raw", 0.2, 0.5),
    run("edge", 0.08, 0.1),
    run("adaptive", 0.06, 0.025),
    run("clairvoyant", 0.05),
]


def test_adapting_is_held_against_the_fastest_fixed_option_and_the_clairvoyant() -> None:
    assert runs_text(RUNS, PolicySettings()) == (
        "The adaptive policy takes 60.0 ms a frame on average, 25 % less than the fastest fixed option "
        "(edge, 80.0 ms), and 20 % more than one that knows the future."
    )


def test_deadline_is_part_of_the_sentence() -> None:
    text = runs_text(RUNS, PolicySettings(deadline_s=0.1))
    assert text.endswith("; 2.5 % of its frames are later than the deadline (edge: 10.0 %).")
