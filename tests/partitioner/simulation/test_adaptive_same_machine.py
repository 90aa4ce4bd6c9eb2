"""Edge and cloud on the same cores, simulated: what crosses slows both down, and no plan knows of it."""

from dataclasses import replace

import pytest

from partitioner.network.link import Link
from partitioner.planning.plan import plan
from partitioner.policy.settings import PolicySettings
from partitioner.simulation.adaptive import Adaptive
from partitioner.simulation.demand import Demand, demands_of
from partitioner.simulation.pipeline import Passage, Setup
from partitioner.simulation.replay import Run, run_policy
from tests.kit.profiles import codec, make
from tests.kit.traces import trace

BUNDLE, PROFILE = make(
    {
        "cloud": (0.0, 0.09, {"raw": codec(50_000)}),
        **{
            f"cut-0{place}": (0.01 * place, 0.09 - 0.01 * place, {"raw": codec(5_000)})
            for place in (3, 4, 5)
        },
        "edge": (0.08, 0.0, {"raw": codec(0)}),
    }
)
LINK = Link(1e9, 1e9, 0.0005)
PLAN = plan(BUNDLE, LINK, PROFILE, PROFILE)
FRAMES = 1000
SETTLING = 100


class Shared(Adaptive):
    """While frames cross, both machines take `times` as long: they are one."""

    times = 1.0
    begins_at, ends_at = 0.0, float("inf")

    def choose(self, arrived_at: float, begun_at: float) -> Demand:
        asked = super().choose(arrived_at, begun_at)
        shared = asked.crosses and self.begins_at <= begun_at < self.ends_at
        return asked.scaled(self.times if self._beside else 1.0, self.times) if shared else asked


def run(policy: type[Shared], period_s: float, frames: int = FRAMES) -> Run:
    setup = Setup(replace(trace((0, 1000), rtt_s=0.0005)), period_s, 4, 10.0)
    policy_of = policy(PLAN, demands_of(PLAN), setup, LINK, PolicySettings())
    return run_policy(setup, policy_of, frames)


def is_local(passage: Passage) -> bool:
    return passage.demand.label == "edge"


@pytest.mark.parametrize("times", [2.5, 4.0])
def test_frames_that_slow_themselves_down_by_crossing_stay_here(times: float) -> None:
    """Pipelined, a split promises 50 ms a frame for 80; it takes 100 and more, as does every other one."""
    policy = type("Slower", (Shared,), {"times": times})
    found = run(policy, 0.0)
    late = found.passages[SETTLING:]
    assert sum(map(is_local, late)) > 0.9 * len(late)
    assert found.switches <= 10


def test_split_that_keeps_its_promise_is_kept() -> None:
    found = run(Shared, 0.0)
    assert not any(map(is_local, found.passages[SETTLING:]))
    assert found.switches <= 3


@pytest.mark.slow
def test_cores_that_are_free_again_are_used_again() -> None:
    """The server has the same cores for half a minute; what was seen then is not believed for ever."""
    policy = type("Once", (Shared,), {"times": 4.0, "ends_at": 30.0})
    found = run(policy, 0.0, frames=5_000)
    assert found.switches <= 12
    assert not any(map(is_local, found.passages[-1000:]))
