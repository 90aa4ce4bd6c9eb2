"""The sentence that a sweep begins with."""

import numpy as np

from partitioner.reports.simulations.sweep import sweep_text
from partitioner.simulation.sweep import Grid, OptionStanding, Sweep

GRID = Grid((1.0,), (1.0,), (0.01,), (1e6, 1e7))
EVERYWHERE = (1e6, 1e7)


def swept(*standings: OptionStanding) -> Sweep:
    zeros = np.zeros(GRID.shape)
    labels = tuple(one.label for one in standings)
    return Sweep(GRID, labels, zeros.astype(np.intp), zeros, standings)


def test_winners_are_counted_and_the_safest_is_named() -> None:
    text = sweep_text(
        swept(
            OptionStanding("edge", 0.5, EVERYWHERE, 1.8, 9.0),
            OptionStanding("cloud/jpeg-75", 0.5, EVERYWHERE, 1.25, 3.0),
            OptionStanding("cut-01/raw", 0.0, None, 2.0, 4.0),
        )
    )
    assert text == (
        "2 options are the best somewhere among 2 points (uplinks 1.00 Mbit/s to 10.0 Mbit/s, "
        "RTTs 10.0 ms, edge times x1, cloud times x1), edge at most of them (50 %). If it has to be one: "
        "cloud/jpeg-75, which takes 1.25x as long as the best of each point on average, and 3.0x at worst."
    )


def test_one_that_always_wins_is_said_to() -> None:
    text = sweep_text(swept(OptionStanding("edge", 1.0, EVERYWHERE, 1.0, 1.0)))
    assert text == (
        "edge is the best at all of 2 points (uplinks 1.00 Mbit/s to 10.0 Mbit/s, RTTs 10.0 ms, "
        "edge times x1, cloud times x1)."
    )
