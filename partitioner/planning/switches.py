"""Switching points: the uplinks at which the best option changes, on the lower envelope of straight lines."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from partitioner.network.link import Link
from partitioner.planning.option import Option
from protos.names import CLOUD, EDGE


@dataclass(frozen=True)
class Switch:
    """Below `uplink_bps` the best option is `below`, above it is `above`."""

    uplink_bps: float
    below: Option
    above: Option

    def to_dict(self) -> dict[str, Any]:
        """Return the same as plain data; `uplink_bps` is None where only an infinite one would do."""
        return {
            "uplink_bps": self.uplink_bps if math.isfinite(self.uplink_bps) else None,
            "below": {"cut": self.below.cut, "codec": self.below.codec},
            "above": {"cut": self.above.cut, "codec": self.above.codec},
        }


def find_switches(options: Sequence[Option], link: Link) -> tuple[Switch, ...]:
    """Return where the best of `options` changes, slowest uplink first; the rest is as in `link`."""
    return tuple(_switches(options, link))


def leading(options: Sequence[Option], link: Link) -> tuple[Option, ...]:
    """Return, in their order, the options that are best on some uplink or on `link`, and each end's best."""
    best = min(options, key=lambda option: option.total_s)
    envelope = (o for one in _switches(options, link) for o in (one.below, one.above))
    ends = ([o for o in options if o.cut == end] for end in (CLOUD, EDGE))
    chosen = [best, *envelope, *(min(end, key=lambda o: o.total_s) for end in ends if end)]
    return tuple(option for option in options if option in chosen)


def _switches(options: Sequence[Option], link: Link) -> Iterator[Switch]:
    """Walk the lower envelope of the lines T(x) = fixed + 8 * upload * x, x = 1/uplink, from x = 0."""

    def fixed(option: Option) -> float:
        return option.total_s - 8 * sent(option) / link.uplink_bps

    def sent(option: Option) -> float:
        return option.expected.upload_bytes

    current = min(options, key=lambda option: (fixed(option), sent(option)))
    x, found = 0.0, []
    while True:
        crossings = [
            (
                (fixed(other) - fixed(current)) / (8 * (sent(current) - sent(other))),
                other,
            )
            for other in options
            if sent(other) < sent(current)
        ]
        if not crossings:
            break
        x, following = min(crossings, key=lambda c: (max(c[0], x), sent(c[1])))
        found.append(Switch(1 / x if x > 0 else float("inf"), following, current))
        current = following
    yield from reversed(found)
