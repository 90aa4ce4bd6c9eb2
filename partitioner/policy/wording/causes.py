"""The cause of a move: the condition that, put back to what it was, would undo it."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from partitioner.common.units import format_duration, format_rate
from partitioner.network.link import Link
from partitioner.policy.conditions import Conditions

_CARRIES = 0.1
"""A change that carries less than this share of a gain does not explain it."""

Gain = Callable[[Conditions], float]
"""What a move gains under given conditions, in the unit of what is minimised, or a loss that forces it."""


def name_cause(gain: Gain, now: Conditions, before: Conditions) -> str:
    """Say which change since `before` carries most of `gain(now)`.

    Each change in turn is put back to what it was; what the gain then lacks, that change carries. So
    what is named always moved in the direction that favours the move.
    """
    if now.cloud_reachable and not before.cloud_reachable:
        return before.comeback
    whole = gain(now)
    carried, factor = max(
        ((whole - gain(factor.back(now, before)), factor) for factor in _FACTORS),
        key=lambda found: found[0],
    )
    if carried <= 0 or carried < _CARRIES * whole:
        return "by all that is known now"
    return factor.say(now, before)


class _Factor(NamedTuple):
    back: Callable[[Conditions, Conditions], Conditions]
    """Returns what is seen now, with this one thing as it was before."""
    say: Callable[[Conditions, Conditions], str]


def _with_uplink(now: Conditions, before: Conditions) -> Conditions:
    """Return the link at the rate of before; the doubt stays the same share of it."""
    seen, rtt_s = now.link, now.link.link.rtt_s
    was = before.link.link
    ratio = seen.link.uplink_bps / was.uplink_bps
    return replace(
        now,
        link=replace(
            seen,
            link=Link(was.uplink_bps, was.downlink_bps, rtt_s),
            byte_variance=ratio * ratio * seen.byte_variance,
            covariance=ratio * seen.covariance,
        ),
    )


def _with_rtt(now: Conditions, before: Conditions) -> Conditions:
    link = replace(now.link.link, rtt_s=before.link.link.rtt_s)
    return replace(now, link=replace(now.link, link=link))


def _with_outage(now: Conditions, before: Conditions) -> Conditions:
    return replace(now, link=replace(now.link, outage=before.link.outage))


def _say_outage(now: Conditions, before: Conditions) -> str:
    if now.link.outage.now > before.link.outage.now:
        return "an answer is overdue, as in an outage"
    if now.link.outage.now < before.link.outage.now:
        return "the outage is over"
    return (
        "outages are rarer"
        if now.link.outage.rate < before.link.outage.rate
        else "outages are likelier"
    )


def _with_doubt(now: Conditions, before: Conditions) -> Conditions:
    """Return the link as well known as before; its rate and its outages are those of now."""
    return replace(now, link=replace(before.link, link=now.link.link, outage=now.link.outage))


def _say_doubt(now: Conditions, before: Conditions) -> str:
    known = now.link.uplink_spread < before.link.uplink_spread
    return "the link is better known" if known else "the link is less certain"


def _say_period(now: Conditions, _before: Conditions) -> str:
    if now.frame_period_s:
        return f"frames come every {format_duration(now.frame_period_s)}"
    return "frames come as fast as they are taken"


def _say_power_demand(now: Conditions, before: Conditions) -> str:
    return str(now.power_demand) or f"{before.power_demand.title} is over"


def _moved(now: float, before: float) -> str:
    return "fell" if now < before else "rose"


def _load_words(whose: str, now: float, before: float) -> str:
    return f"{whose} takes {'only ' if now < before else ''}{now:.1f}x as long"


_FACTORS = (
    _Factor(
        _with_uplink,
        lambda now, before: (
            f"uplink {_moved(now.link.link.uplink_bps, before.link.link.uplink_bps)} to "
            f"{format_rate(now.link.link.uplink_bps)}"
        ),
    ),
    _Factor(
        _with_rtt,
        lambda now, before: (
            f"round trip {_moved(now.link.link.rtt_s, before.link.link.rtt_s)} to "
            f"{format_duration(now.link.link.rtt_s)}"
        ),
    ),
    _Factor(_with_outage, _say_outage),
    _Factor(_with_doubt, _say_doubt),
    _Factor(
        lambda now, before: replace(now, edge_load=before.edge_load),
        lambda now, before: _load_words("this device", now.edge_load, before.edge_load),
    ),
    _Factor(
        lambda now, before: replace(now, own_load=before.own_load),
        lambda now, _before: f"frames under way slow this device down {now.own_load:.1f}x",
    ),
    _Factor(
        lambda now, before: replace(now, lessons=before.lessons),
        lambda _now, _before: "by what frames have really taken",
    ),
    _Factor(
        lambda now, before: replace(now, cloud_load=before.cloud_load),
        lambda now, before: _load_words("the cloud", now.cloud_load, before.cloud_load),
    ),
    _Factor(
        lambda now, before: replace(now, cloud_queue_s=before.cloud_queue_s),
        lambda now, before: (
            f"the cloud's queue {_moved(now.cloud_queue_s, before.cloud_queue_s)} to "
            f"{format_duration(now.cloud_queue_s)}"
        ),
    ),
    _Factor(lambda now, before: replace(now, frame_period_s=before.frame_period_s), _say_period),
    _Factor(lambda now, before: replace(now, power_demand=before.power_demand), _say_power_demand),
)
