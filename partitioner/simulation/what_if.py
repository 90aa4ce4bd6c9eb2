"""`simulate`: the question `what if`, asked of a plan in one call."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from partitioner.common.arguments import need, need_numbers
from partitioner.common.defaults import DEFAULT_TIMEOUT_S, DEFAULT_WINDOW, ExitThreshold
from partitioner.common.progress import OnProgress, unheard
from partitioner.common.units import plural
from partitioner.exits.ladder import check_threshold, ladder_for, own_rung
from partitioner.network.link import Link
from partitioner.network.trace import Trace
from partitioner.network.trace_files import read_trace
from partitioner.planning.objective import LATENCY, Objective
from partitioner.planning.plan import Plan
from partitioner.planning.terms import NO_TERMS, Terms
from partitioner.policy.hedges import Hedging
from partitioner.policy.settings import PolicySettings
from partitioner.simulation.adaptive import ADAPTIVE
from partitioner.simulation.comparison import compare_policies
from partitioner.simulation.exit_draws import Exiting
from partitioner.simulation.pipeline import Setup
from partitioner.simulation.simulation import Simulation
from protos.errors import UsageError

_LINK_S = 60.0
"""Of a link that never changes, unless a duration is given."""
_MOST_FRAMES = 1_000_000


def simulate(
    plan: Plan,
    over: Link | Trace | str | Path,
    *,
    columns: str | None = None,
    fps: float = 5.0,
    seconds: float | None = None,
    window: int = DEFAULT_WINDOW,
    policies: str | Sequence[str] | None = None,
    seed: int | None = 0,
    deadline_s: float | None = None,
    latency_s: float | None = None,
    exit_threshold: ExitThreshold = None,
    objective: Objective | str = LATENCY,
    terms: Terms = NO_TERMS,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    hedge: str | float = "auto",
    workers: int = 1,
    edge_load: float = 1.0,
    cloud_load: float = 1.0,
    on_progress: OnProgress = unheard,
) -> Simulation:
    """Send frames over a link or a trace: the same ones under every policy.

    `over`: a link, also as text such as `10mbit,20ms`, a trace, or a trace's file; what a trace does not
    say is the plan's round trip, and as much down as up. `columns`: which columns of a trace's file are what,
    as `time=ts:ms,uplink=3:kbps`. `fps`: frames a second. `seconds`: how long they come (None: the trace
    once, of a link a minute). `window`: frames at work at once. `policies`: options of
    the plan by their labels, as `cut-04/q2`, `adaptive`, and `clairvoyant`, which knows
    the trace and takes long to choose; None: the plan's leading options and `adaptive`; `all`: all of them.
    `seed`: of what single frames take; None: all take the medians.

    `deadline_s` counts late frames, and the adaptive policy heeds it, as `latency_s`: what a frame may
    take on average. `objective` and `terms`: what that policy minimises, and what joules and money need.
    `exit_threshold`: see EdgeClient. `timeout_s`: until an answer counts as lost. `hedge`: when the idle
    device begins to finish a frame, too, under the adaptive policy: `auto`, `off`, or so many seconds after
    it was sent; see EdgeClient. `workers`: of the cloud, for this device. `edge_load`, `cloud_load`: the
    machines take so many times what the plan believes. `on_progress` hears what is being simulated.

    Raises UsageError for numbers without meaning, UnknownNameError for a policy that is none, and what
    `read_trace` does.
    """
    need("plan", plan, Plan, wanted="a Plan, as plan(bundle, link, edge, cloud) returns it")
    numbers = {
        "fps": fps, "timeout_s": timeout_s, "window": window, "workers": workers,
        "edge_load": edge_load, "cloud_load": cloud_load,
    }  # fmt: skip
    need("terms", terms, Terms, wanted="Terms, of partitioner.planning.terms")
    limits = {"seconds": seconds, "deadline_s": deadline_s, "latency_s": latency_s}
    need_numbers(numbers | {name: limit for name, limit in limits.items() if limit is not None})
    over = link_or_trace(over, columns)
    trace = as_trace(over).filled(plan.link.rtt_s)
    frames = _frames(_seconds(over, trace, seconds), fps)
    for name, load in (("edge_load", edge_load), ("cloud_load", cloud_load)):
        if not 0 < load < math.inf:
            raise UsageError(f"{name} {load} has no meaning. Give a factor above 0, such as 2.")
    paced = deadline_s is not None
    setup = Setup(trace, 1 / fps, window, timeout_s, workers, seed, device_paced=paced)
    settings = PolicySettings(
        objective=Objective.of(objective),
        terms=replace(terms, fps=fps, workers=workers),
        deadline_s=deadline_s,
        latency_s=latency_s,
        window=window,
        hedging=_hedging(hedge),
    )
    exiting = _exiting(plan, exit_threshold, settings, seed or 0)
    loads = (edge_load, cloud_load)
    runs = compare_policies(
        plan, setup, frames, settings, loads,
        policies=_policies(plan) if policies is None else policies, exiting=exiting, on_progress=on_progress,
    )  # fmt: skip
    return Simulation(plan, setup, settings, tuple(runs))


def _hedging(hedge: object) -> Hedging:
    wanted = "auto, off, a time such as '80ms', or a number of seconds"
    need("hedge", hedge, str, float, int, wanted=wanted)
    return Hedging.of(hedge)  # type: ignore[arg-type]  # as `need` has found


def _policies(plan: Plan) -> list[str]:
    return [*(option.label for option in plan.leading), ADAPTIVE]


def link_or_trace(over: object, columns: str | None = None) -> Link | Trace:
    """Return the link or the trace that is meant: text is a link where it has a comma and is no file.

    `columns` says what is in a trace's file. Raises UsageError, and what `read_trace` does.
    """
    is_link = isinstance(over, str) and "," in over and not Path(over).exists()
    if isinstance(over, str | Path) and not is_link:
        return read_trace(over, columns=columns)
    if columns is not None:
        raise UsageError("`columns` are of a trace's file, and none is given. Leave them out.")
    if isinstance(over, str):
        return Link.parse(over)
    need(
        "over",
        over,
        Link,
        Trace,
        wanted="a Link, a Trace, text such as '10mbit,20ms' or a trace's file",
    )
    return over  # type: ignore[return-value]  # as `need` has found


def as_trace(over: Link | Trace) -> Trace:
    """Return a trace; a link never changes."""
    return Trace.constant(over) if isinstance(over, Link) else over


def _seconds(over: Link | Trace, trace: Trace, asked: float | None) -> float:
    if asked is not None:
        return asked
    return _LINK_S if isinstance(over, Link) else trace.duration_s


def _frames(seconds: float, fps: float) -> int:
    for name, value in (("seconds", seconds), ("fps", fps)):
        if not 0 < value < math.inf:
            raise UsageError(f"{name} {value} has no meaning. Give a number above 0, such as 10.")
    frames = max(1, round(seconds * fps))
    if frames > _MOST_FRAMES:
        raise UsageError(
            f"{seconds:g} s have time for {plural(frames, 'frame')} at {fps:g} a second, and at most "
            f"{_MOST_FRAMES:,} are simulated. Give fewer seconds."
        )
    return frames


def _exiting(
    plan: Plan, threshold: ExitThreshold, settings: PolicySettings, seed: int
) -> Exiting | None:
    if threshold is None:
        return None
    exits = plan.bundle.known_exits()
    fixed = own_rung(exits, None if isinstance(threshold, str) else check_threshold(threshold))
    ladder = ladder_for(exits, threshold, settings.deadline_s, settings.latency_s)
    return Exiting(exits, ladder, fixed, seed)
