"""The picture of a Pareto front, and of a plan whose choice is not the fastest."""

from pathlib import Path

import pytest

from partitioner.planning.objective import Objective
from partitioner.planning.selection import select
from partitioner.planning.terms import Terms
from partitioner.reports.plots.front import draw_front
from partitioner.reports.plots.plan import draw_plan
from protos.errors import UsageError
from tests.kit.plans import BOARD, RADIO, example


@pytest.mark.slow
def test_pictures_show_the_choice(tmp_path: Path) -> None:
    decision = select(example(), Terms(device=BOARD, radio=RADIO), Objective.parse("energy"))
    draw_front(decision, ("latency", "energy"), tmp_path / "front.png")
    draw_front(decision, ("latency", "energy", "bytes"), tmp_path / "three.svg")
    draw_plan(decision.plan, tmp_path / "plan.svg", decision.best.option)
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "three.svg").read_text()
    with pytest.raises(UsageError, match="cannot be written"):
        draw_front(decision, ("latency", "energy"), tmp_path / "nowhere" / "front.png")
