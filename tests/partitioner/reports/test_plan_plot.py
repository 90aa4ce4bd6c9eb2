"""The picture of a plan shows the plan."""

from pathlib import Path

import pytest

from partitioner.network.link import Link
from partitioner.planning.objective import Objective
from partitioner.planning.plan import plan
from partitioner.planning.selection import select
from partitioner.planning.terms import Terms
from partitioner.reports.plan_plot import draw_front, draw_plan
from protos.errors import UsageError
from tests.kit.plans import BOARD, RADIO, example
from tests.kit.profiles import EXAMPLE, make


def test_plan_is_drawn(tmp_path: Path) -> None:
    bundle, profile = make(EXAMPLE)
    made = plan(bundle, Link(1e6, 1e6, 0.01), profile, profile.scaled(0.1))
    draw_plan(made, tmp_path / "plan.png")
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match="cannot be written"):
        draw_plan(made, tmp_path / "nowhere" / "plan.png")


def test_pictures_show_the_choice(tmp_path: Path) -> None:
    decision = select(example(), Terms(device=BOARD, radio=RADIO), Objective.parse("energy"))
    draw_front(decision, ("latency", "energy"), tmp_path / "front.png")
    draw_front(decision, ("latency", "energy", "bytes"), tmp_path / "three.svg")
    draw_plan(decision.plan, tmp_path / "plan.svg", decision.best.option)
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "three.svg").read_text()
    with pytest.raises(UsageError, match="cannot be written"):
        draw_front(decision, ("latency", "energy"), tmp_path / "nowhere" / "front.png")
