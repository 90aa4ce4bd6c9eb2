"""Policies side by side over one trace."""

from collections.abc import Sequence
from difflib import get_close_matches
from functools import partial

from partitioner.common.progress import OnProgress, unheard
from partitioner.common.units import plural
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
from protos.errors import UnknownNameError, UsageError


def compare_policies(
    plan: Plan,
    setup: Setup,
    frames: int,
    settings: PolicySettings,
    loads: tuple[float, float] = (1.0, 1.0),
    *,
    policies: str | Sequence[str] | None = None,
    exiting: Exiting | None = None,
    on_progress: OnProgress = unheard,
) -> list[Run]:
    """Return a run of each policy: fixed options by their labels, ADAPTIVE and CLAIRVOYANT, as listed.

    `policies` None: the options that no other beats on every stage, then those two; `all`: all options,
    then those two. `loads` are by how much device and cloud are slower than the plan believes: the
    adaptive policy has to find out. With `exiting` exits answer first; they move their thresholds under
    the adaptive policy alone. It alone hedges. Raises
    UnknownNameError for a policy that is none.
    """
    edge_load, cloud_load = loads
    if exiting is not None:
        plan = plan.with_exits(exiting.fixed.costs)
    demands = {
        label: demand.scaled(edge_load, cloud_load) for label, demand in demands_of(plan).items()
    }
    able = _able(plan, demands)
    ask = unasked if exiting is None else partial(_ask, exiting)

    def run(name: str) -> Run:
        if name == ADAPTIVE:
            link = first_link(setup)
            policy = Adaptive(plan, demands, setup, link, settings, exiting)
            return run_policy(setup, policy, frames)
        if name == CLAIRVOYANT:
            heard = partial(on_progress, CLAIRVOYANT)
            return run_clairvoyant(setup, able, frames, lambda done: heard(done, frames), ask)
        return run_policy(setup, Fixed(demands[name], ask), frames)

    names = _names(policies, demands, able)
    runs = []
    for place, name in enumerate(names):
        on_progress(name, place, len(names))
        runs.append(run(name))
    return runs


def _names(
    policies: str | Sequence[str] | None, demands: dict[str, Demand], able: Sequence[Demand]
) -> list[str]:
    """Return the policies' names, each of which exists."""
    if policies is None:
        return [*(demand.label for demand in able), ADAPTIVE, CLAIRVOYANT]
    if policies == "all":
        return [*demands, ADAPTIVE, CLAIRVOYANT]
    names = [policies] if isinstance(policies, str) else list(policies)
    for name in names:
        if name not in (ADAPTIVE, CLAIRVOYANT, *demands):
            near = get_close_matches(name, (ADAPTIVE, CLAIRVOYANT, *demands), n=3, cutoff=0.0)
            raise UnknownNameError(
                f"there is no policy {name!r}. There are {ADAPTIVE}, {CLAIRVOYANT}, and each of the plan's "
                f"{plural(len(demands), 'option')}, kept throughout; the nearest are {', '.join(near)}."
            )
    if not names:
        raise UsageError("no policy is no simulation. Name one, such as adaptive.")
    return names


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
