"""Which option the next frame takes: a pure function of the plan, what was seen, and the clock.

The running edge and the simulator call the same `decide`. What it expects of an option is

    T = (edge_s + exit_s) · edge_load + (1 − exit_rate) · (network + cloud_queue_s + cloud_s · cloud_load)

and, where frames come every `period` seconds, what waiting for each other adds. A frame passes three
stages, device, uplink and cloud, each of which takes one frame at a time. If the slowest takes s:

    s < period   it waits about u / (1 − u) · c² / 2 · s at the utilisation u = s / period
                 (Kingman 1961; arrivals are even, and the service varies by c²)
    s ≥ period   a queue builds until the window is full: T = window · s (Little's law)

To each comes `caution` times the deviation of the estimated link, so that a guess has to promise more
than what is known.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import NamedTuple

from partitioner.estimating import LinkEstimate
from partitioner.pareto import undominated
from partitioner.planning import Option, Plan
from partitioner.units import format_duration, format_rate
from protos.names import EDGE

_VARIATION = 0.1
"""c², the squared coefficient of variation of a stage's time."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What was seen of the link and of both machines."""

    link: LinkEstimate
    edge_load: float = 1.0
    """Measured over profiled time on the device."""
    cloud_load: float = 1.0
    cloud_queue_s: float = 0.0
    """What a request waits for a worker of the cloud."""
    cloud_reachable: bool = True
    frame_period_s: float | None = None
    """Seconds between frames; 0: as fast as they are taken; None: one at a time, so that none waits."""


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """What moves the cut, and what does not."""

    deadline_s: float | None = None
    """From a frame's arrival to its result."""
    window: int = 4
    """Frames at work at once."""
    caution: float = 0.5
    """Deviations of the network time that are added to an option's expected latency."""
    gain: float = 0.05
    gain_s: float = 0.001
    """Another option must be better by this share and by this much."""
    dwell_s: float = 0.0
    """After a move nothing but a failure moves again for so long."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The option of the next frame, why in words, and its expected latency."""

    option: Option
    reason: str
    expected_s: float
    conditions: Conditions
    """What it was decided on; the next decision tells what has changed."""
    since_s: float
    """When the option was taken."""
    meets_deadline: bool = True
    """False: no option is expected to meet it, and this one stays on the device."""


def decide(
    plan: Plan,
    seen: Conditions,
    current: Decision | None,
    now_s: float,
    settings: PolicySettings | None = None,
) -> Decision:
    """Return the option for the next frame: the current one, or a better one and why it is better.

    An option that is not expected to meet the deadline is taken only when none is, and then one that
    stays on the device if the plan has one. While the cloud is away only such options are open.
    """
    settings = settings or PolicySettings()
    costs = _costs(plan.options, seen, settings)
    in_time = _meeting(costs, seen, settings)
    open_costs = in_time or _local(costs) or costs
    best = min(open_costs, key=_risked)
    held = None if current is None else _held(open_costs, current.option)
    meets = bool(in_time)
    if current is None:
        return Decision(best.option, _first(best, seen), best.expected_s, seen, now_s, meets)
    if held is None:
        reason = _must_move(best, seen, current, settings)
    elif held is best or not _is_worth(best, held, current, now_s, settings):
        return replace(
            current, option=held.option, expected_s=held.expected_s, meets_deadline=meets
        )
    else:
        faster = format_duration(held.risked_s - best.risked_s)
        reason = (
            f"{_change(seen, current.conditions, settings)}; {best.option.label} is {faster} faster"
        )
    return Decision(best.option, reason, best.expected_s, seen, now_s, meets)


def expected_s(option: Option, seen: Conditions, settings: PolicySettings | None = None) -> float:
    """Return the expected latency of one option under `seen`, without any margin."""
    return _cost(option, seen, settings or PolicySettings()).expected_s


def contenders(options: Iterable[Option]) -> tuple[Option, ...]:
    """Return the options that no other beats on device, cloud and both directions at once.

    Under no link, load or frame rate can another be the fastest, so that only these need be weighed.
    The cut `edge` always stays: it is what remains without a cloud.
    """
    known = list(options)
    able = set(undominated(range(len(known)), key=lambda place: _axes(known[place])))
    return tuple(
        option for place, option in enumerate(known) if option.cut == EDGE or place in able
    )


class _Cost(NamedTuple):
    option: Option
    expected_s: float
    risked_s: float
    """With the margin for what is not known of the link."""


_risked = attrgetter("risked_s")


def _costs(options: Iterable[Option], seen: Conditions, settings: PolicySettings) -> list[_Cost]:
    return [_cost(option, seen, settings) for option in options]


def _cost(option: Option, seen: Conditions, settings: PolicySettings) -> _Cost:
    edge_s = (option.edge_s + option.exit_s) * seen.edge_load
    share = 1 - option.exit_rate
    if option.cut == EDGE:
        total_s = edge_s + _waiting_s(edge_s, edge_s, seen.frame_period_s, settings.window)
        return _Cost(option, total_s, total_s)
    link = seen.link.link
    cloud_s = option.cloud_s * seen.cloud_load
    upload_s = 8 * option.upload_bytes / link.uplink_bps
    network_s = upload_s + link.rtt_s + 8 * option.download_bytes / link.downlink_bps
    alone_s = edge_s + share * network_s + share * seen.cloud_queue_s + share * cloud_s
    slowest_s = max(edge_s, share * upload_s, share * cloud_s)
    total_s = alone_s + _waiting_s(slowest_s, alone_s, seen.frame_period_s, settings.window)
    doubt_s = share * seen.link.deviation_s(option.upload_bytes)
    return _Cost(option, total_s, total_s + settings.caution * doubt_s)


def _waiting_s(slowest_s: float, alone_s: float, period_s: float | None, window: int) -> float:
    if period_s is None:
        return 0.0
    full_s = max(0.0, window * slowest_s - alone_s)
    if slowest_s >= period_s:
        return full_s
    busy = slowest_s / period_s
    return min(full_s, busy / (1 - busy) * _VARIATION / 2 * slowest_s)


def _meeting(costs: list[_Cost], seen: Conditions, settings: PolicySettings) -> list[_Cost]:
    """Return what is open at all, and expected to meet the deadline."""
    limit_s = float("inf") if settings.deadline_s is None else settings.deadline_s
    return [
        cost
        for cost in costs
        if cost.risked_s <= limit_s and (seen.cloud_reachable or cost.option.cut == EDGE)
    ]


def _local(costs: list[_Cost]) -> list[_Cost]:
    return [cost for cost in costs if cost.option.cut == EDGE]


def _held(costs: list[_Cost], option: Option) -> _Cost | None:
    """Return the cost of the option that is taken now, which may come from a plan of another link."""
    for cost in costs:
        if cost.option.cut == option.cut and cost.option.codec == option.codec:
            return cost
    return None


def _is_worth(
    best: _Cost, held: _Cost, current: Decision, now_s: float, settings: PolicySettings
) -> bool:
    if now_s - current.since_s < settings.dwell_s:
        return False
    return held.risked_s - best.risked_s > max(settings.gain * held.risked_s, settings.gain_s)


def _first(best: _Cost, seen: Conditions) -> str:
    if not seen.cloud_reachable:
        return "the cloud is away"
    return f"{format_duration(best.expected_s)} expected on {seen.link.link}"


def _must_move(best: _Cost, seen: Conditions, current: Decision, settings: PolicySettings) -> str:
    what = best.option.label
    if not seen.cloud_reachable and current.option.cut != EDGE:
        return f"the cloud is away; {what} needs none"
    if settings.deadline_s is None:
        return f"{current.option.label} is no longer offered; {what} is the fastest"
    limit = format_duration(settings.deadline_s)
    change = _change(seen, current.conditions, settings)
    return (
        f"{change}; {current.option.label} would miss the deadline of {limit}, {what} is expected in "
        + (format_duration(best.expected_s))
    )


def _change(seen: Conditions, before: Conditions, settings: PolicySettings) -> str:
    """Say what has changed most, as a ratio, since the option was taken."""
    if seen.cloud_reachable and not before.cloud_reachable:
        return "the cloud is back"
    factors = [(_ratio(value(seen), value(before)), say(seen, before)) for value, say in _CHANGES]
    if (before.frame_period_s or 0) > 0 and (seen.frame_period_s or 0) > 0:
        factors.append(
            (
                _ratio(seen.frame_period_s or 0, before.frame_period_s or 0),
                f"frames come every {format_duration(seen.frame_period_s or 0)}",
            )
        )
    factor, words = max(factors, key=lambda change: change[0])
    return words if factor > 1 + settings.gain / 2 else "the link is better known"


def _ratio(one: float, other: float) -> float:
    low, high = sorted((max(one, 1e-4), max(other, 1e-4)))
    return high / low


def _moved(now: float, before: float) -> str:
    return "fell" if now < before else "rose"


_CHANGES: tuple[
    tuple[Callable[[Conditions], float], Callable[[Conditions, Conditions], str]], ...
] = (
    (
        lambda seen: seen.link.link.uplink_bps,
        lambda seen, before: (
            f"uplink {_moved(seen.link.link.uplink_bps, before.link.link.uplink_bps)} to "
            f"{format_rate(seen.link.link.uplink_bps)}"
        ),
    ),
    (
        lambda seen: seen.link.link.rtt_s,
        lambda seen, before: (
            f"round trip {_moved(seen.link.link.rtt_s, before.link.link.rtt_s)} to "
            f"{format_duration(seen.link.link.rtt_s)}"
        ),
    ),
    (
        lambda seen: seen.edge_load,
        lambda seen, _: f"this device takes {seen.edge_load:.1f}x as long",
    ),
    (
        lambda seen: seen.cloud_load,
        lambda seen, _: f"the cloud takes {seen.cloud_load:.1f}x as long",
    ),
    (
        lambda seen: seen.cloud_queue_s + 1e-3,
        lambda seen, _: f"the cloud's queue takes {format_duration(seen.cloud_queue_s)}",
    ),
)


def _axes(option: Option) -> tuple[float, ...]:
    """Return what an option asks of everybody, and how often it asks for the link."""
    mean = option.expected
    crosses = 0.0 if option.cut == EDGE else 1 - option.exit_rate
    return (mean.edge_s, mean.upload_bytes, mean.cloud_s, mean.download_bytes, crosses)
