"""The sentence that a plan for three machines begins with."""

from partitioner.planning.tiers import TierOption
from partitioner.reports.plans.tiers import tiers_text


def option(first: str, second: str, total_s: float) -> TierOption:
    return TierOption(
        first, second, ("raw", "q4"), (total_s, 0.0, 0.0), (0.0, 0.0), (1.0, 1.0), (1.0, 1.0)
    )


def test_best_is_held_against_fewer_machines() -> None:
    split = option("cut-01", "cut-05", 0.030)
    near = option("cut-02", "edge", 0.040)
    alone = option("edge", "edge", 0.060)
    assert tiers_text([split, near, alone]) == (
        "Best: cut at cut-01/raw and cut-05/q4, 30.0 ms: 50 % less than everything on the device (60.0 ms); "
        "25 % less than device and near edge, cut at cut-02/raw (40.0 ms)."
    )


def test_device_that_cannot_finish_alone_is_not_compared_with() -> None:
    through = option("cloud", "cloud", 0.050)
    assert tiers_text([through, option("cut-01", "cut-01", 0.1)]) == (
        "Best: everything in the cloud (raw), 50.0 ms."
    )
