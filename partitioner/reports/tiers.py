"""A plan for three machines, for people and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from partitioner.bundle.bundle import Bundle
from partitioner.network.link import Link
from partitioner.planning.tiers import TierOption, fastest_by_machines
from partitioner.profiles.profile import Profile
from partitioner.terminal.folding_table import FoldingTable, new_table
from protos.names import EDGE

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


def tiers_table(
    bundle: Bundle, links: tuple[Link, Link], options: Sequence[TierOption]
) -> FoldingTable:
    """Return the options with their costs, the best one marked."""
    title = f"{bundle.name}; near edge: {links[0]}; cloud: {links[1]}; times in ms"
    columns = ("device", "near edge", "cloud", "network", "total", "")
    table = new_table(title, "first cut", "second cut", *columns, left=2, keys=2)
    for option in options:
        best = option == options[0]
        table.add_row(
            _cut(option.first, option.codecs[0]),
            _cut(option.second, option.codecs[1]),
            *(_ms(seconds) for seconds in option.compute_s),
            _ms(sum(option.network_s)),
            _ms(option.total_s),
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
    }


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.1f}"
