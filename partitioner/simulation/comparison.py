"""Policies side by side over one trace."""

from functools import partial

from partitioner.common.progress import OnProgress, unheard
from partitioner.network.link import Link
from partitioner.planning.plan import Plan
from partitioner.policy.policy import contenders
from partitioner.policy.settings import PolicySettings
from partitioner.simulation.adaptive import ADAPTIVE, Adaptive
from partitioner.simulation.demand import Demand, contending, demands_of
from partitioner.simulation.exit_draws import Exiting
from partitioner.simulation.pipeline import Setup
from partitioner.simulation.replay import (
    CLAIRVOYANT,
    Fixed,
    Run,
    run_clairvoyant,
    run_policy,
    unasked,
)


def compare_policies(
    plan: Plan,
    setup: Setup,
    frames: int,
    settings: PolicySettings,
    loads: tuple[float, float] = (1.0, 1.0),
    *,
    every: bool = False,
    exiting: Exiting | None = None,
    on_progress: OnProgress = unheard,
) -> list[Run]:
    """Return the runs of the fixed options, the adaptive policy and the clairvoyant one, in this order.

    `loads` are by how much device and cloud are slower than the plan believes: the adaptive policy has
    to find out. Options that another beats on every stage are left out unless `every` is set. With
    `exiting` exits answer first; they move their thresholds under the adaptive policy alone.
    """
    edge_load, cloud_load = loads
    if exiting is not None:
        plan = plan.with_exits(exiting.fixed.costs)
    demands = {
        label: demand.scaled(edge_load, cloud_load) for label, demand in demands_of(plan).items()
    }
    able = _able(plan, demands)
    ask = unasked if exiting is None else partial(_ask, exiting)
    shown = list(demands.values()) if every else able
    runs = []
    for place, demand in enumerate(shown):
        on_progress(demand.label, place, len(shown))
        runs.append(run_policy(setup, Fixed(demand, ask), frames))
    on_progress(ADAPTIVE, 0, 1)
    adaptive = Adaptive(plan, demands, setup, first_link(setup), settings, exiting)
    runs.append(run_policy(setup, adaptive, frames))
    known = run_clairvoyant(
        setup, able, frames, lambda done: on_progress(CLAIRVOYANT, done, frames), ask
    )
    return [*runs, known]


def _able(plan: Plan, demands: dict[str, Demand]) -> list[Demand]:
    """Return what may be the best on some link; an exit makes up for bytes, so then the plan says."""
    if not any(option.exit_rate for option in plan.options):
        return contending(demands.values())
    return [demands[option.label] for option in contenders(plan.options)]


def _ask(exiting: Exiting, demand: Demand, frame: int) -> Demand:
    return exiting.asked(demand, frame, exiting.fixed)


def first_link(setup: Setup) -> Link:
    """Return the link as a probe finds it: in the first steps that carry anything."""
    uplink, downlink, rtt = setup.paths
    up, down = (next(rate for rate in path.values if rate > 0) for path in (uplink, downlink))
    return Link(up, down, rtt.values[0])
