"""A plan for three machines, for people and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from partitioner.bundle.bundle import Bundle
from partitioner.common.units import DURATIONS, ColumnUnit, compare, format_duration
from partitioner.network.link import Link
from partitioner.planning.tiers import TierOption, fastest_by_machines
from partitioner.profiles.profile import Profile
from partitioner.terminal.folding_table import FoldingTable, new_table
from protos.names import CLOUD, EDGE

if TYPE_CHECKING:
    from partitioner.search.explorer import TierAnswer

ROLES = ("device", "near_edge", "cloud")


def tiers_json(
    bundle: Bundle,
    links: tuple[Link, Link],
    profiles: tuple[Profile, Profile, Profile],
    options: Sequence[TierOption],
    answer: "TierAnswer | None" = None,
) -> dict[str, Any]:
    """Return the whole plan: the options, fastest first, and the best by the number of machines.

    `answer` is the best of all cuts, also those that the bundle lacks, where the search could tell.
    """
    return {
        "bundle": {"name": bundle.name, "digest": bundle.digest},
        "links": [
            {"uplink_bps": link.uplink_bps, "downlink_bps": link.downlink_bps, "rtt_s": link.rtt_s}
            for link in links
        ],
        "profiles": {
            role: {
                "machine": profile.machine.model_dump(),
                "measured_at": profile.measured_at,
                "scale": profile.scale,
            }
            for role, profile in zip(ROLES, profiles, strict=True)
        },
        "options": [_option_json(option) for option in options],
        "best": _option_json(options[0]),
        "best_by_machines": [_option_json(option) for option in fastest_by_machines(options)],
        "best_of_all_cuts": asdict(answer) if answer else None,
    }


def tiers_text(options: Sequence[TierOption]) -> str:
    """Return the best option in a sentence, beside the best of fewer and of more machines."""
    best, *_ = options
    others = [
        next((option for option in options if option.machines == machines), None)
        for machines in (1, 2, 3)
        if machines != best.machines
    ]
    known = "; ".join(
        f"{compare(best.total_s, other.total_s)} {_ways(other)} ({format_duration(other.total_s)})"
        for other in others
        if other
    )
    return f"Best: {_ways(best)}, {format_duration(best.total_s)}{f': {known}' if known else ''}."


def _ways(option: TierOption) -> str:
    """Return in words where the pieces of the model run."""
    first, second = _cut(option.first, option.codecs[0]), _cut(option.second, option.codecs[1])
    if option.first == EDGE:
        return "everything on the device"
    if option.first == CLOUD and option.second in (CLOUD, EDGE):
        where = "in the cloud" if option.second == CLOUD else "on the near edge"
        return f"everything {where} ({option.codecs[0]})"
    if option.second == EDGE:
        return f"device and near edge, cut at {first}"
    if option.first == option.second:
        return f"device and cloud, cut at {first}"
    return f"cut at {first} and {second}"


def tiers_table(
    bundle: Bundle, links: tuple[Link, Link], options: Sequence[TierOption]
) -> FoldingTable:
    """Return the options with their costs, the best one marked."""
    title = f"{bundle.name}; near edge: {links[0]}; cloud: {links[1]}"
    columns = ("device", "near edge", "cloud", "network", "total")
    parts = (s for one in options for s in (*one.compute_s, sum(one.network_s)))
    times = ColumnUnit.of(parts, DURATIONS, 1)
    headers = (*(times.header(column) for column in columns), "")
    table = new_table(title, "first cut", "second cut", *headers, left=2, keys=2)
    for option in options:
        best = option == options[0]
        table.add_row(
            _cut(option.first, option.codecs[0]),
            _cut(option.second, option.codecs[1]),
            *(times.write(seconds) for seconds in option.compute_s),
            times.write(sum(option.network_s)),
            times.write(option.total_s),
            "◀" if best else "",
            style="bold green" if best else None,
        )
    return table


def _cut(cut: str, codec: str) -> str:
    return cut if cut == EDGE else f"{cut}/{codec}"


def _option_json(option: TierOption) -> dict[str, Any]:
    return {
        "first": option.first,
        "second": option.second,
        "codecs": list(option.codecs),
        **{f"{role}_s": s for role, s in zip(ROLES, option.compute_s, strict=True)},
        "network_s": list(option.network_s),
        "upload_bytes": list(option.upload_bytes),
        "download_bytes": list(option.download_bytes),
        "total_s": option.total_s,
        "drop_points": option.drop_points,
    }
