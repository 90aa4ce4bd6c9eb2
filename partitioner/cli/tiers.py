"""`splitpoint tiers`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from partitioner.cli.arguments import BundleArgument
from partitioner.terminal.console import JsonFlag, print_json, remark, screen

if TYPE_CHECKING:
    from partitioner.bundle.bundle import Bundle
    from partitioner.network.link import Link
    from partitioner.profiles.profile import Profile
    from partitioner.search.explorer import TierAnswer

_SHOWN = 12


def tiers(
    bundle: BundleArgument,
    near_link: Annotated[
        str, typer.Option(help="Device to near edge: 100mbit,5ms or UP/DOWN,RTT.")
    ],
    cloud_link: Annotated[str, typer.Option(help="Near edge to cloud, in the same form.")],
    edge: Annotated[
        Path | None, typer.Option(help="The device's profile; else the bundle's own.")
    ] = None,
    near: Annotated[
        Path | None,
        typer.Option(help="The near edge's profile; else the device's, see --near-scale."),
    ] = None,
    cloud: Annotated[
        Path | None, typer.Option(help="The cloud's profile; else the bundle's own.")
    ] = None,
    edge_scale: Annotated[
        float, typer.Option(help="What if the device took this many times as long?")
    ] = 1.0,
    near_scale: Annotated[
        float | None,
        typer.Option(help="The same for the near edge; without --near, of the device's times."),
    ] = None,
    cloud_scale: Annotated[
        float | None,
        typer.Option(
            help="The same for the cloud; without a cloud profile, of the device's times."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Plan for three machines: the device, a near edge and the cloud, with two cuts and two links.

    Example: splitpoint tiers resnet50 --near-scale 0.5 --near-link 100mbit,5ms --cloud-link 10mbit,40ms
    """
    from partitioner.bundle.bundle import Bundle
    from partitioner.network.link import Link
    from partitioner.planning.tiers import plan_tiers
    from partitioner.profiles.store import check_scale, find_profiles
    from partitioner.reports.tiers import tiers_json, tiers_table
    from protos.errors import UsageError

    if near is None and near_scale is None:
        raise UsageError(
            "nothing is known of the near edge. Give its profile with --near, or --near-scale 0.5 for one "
            "twice as fast as the device was measured."
        )
    scale = 1.0 if near_scale is None else near_scale
    check_scale("--near-scale", scale)
    links = (Link.parse(near_link), Link.parse(cloud_link))
    loaded = Bundle.load(bundle)
    device_profile, cloud_profile = find_profiles(
        loaded, edge, cloud, edge_scale=edge_scale, cloud_scale=cloud_scale
    )
    near_profile, _ = find_profiles(
        loaded, near or edge, cloud, edge_scale=scale, cloud_scale=cloud_scale
    )
    profiles = (device_profile, near_profile, cloud_profile)
    options = plan_tiers(loaded, links, profiles)
    answer = _best_of_all(loaded, profiles, links)
    if as_json:
        print_json(tiers_json(loaded, links, profiles, options, answer))
        return
    screen.print(tiers_table(loaded, links, options[:_SHOWN]))
    if len(options) > _SHOWN:
        remark(f"The {_SHOWN} fastest of {len(options)}; --json has them all.")
    if answer:
        remark(
            f"Of all cuts, by the seconds of nodes and with raw activations: {answer.first_after}, then "
            f"{answer.second_after}: {1e3 * answer.total_s:.1f} ms."
        )


def _best_of_all(
    bundle: "Bundle",
    profiles: "tuple[Profile, Profile, Profile]",
    links: "tuple[Link, Link]",
) -> "TierAnswer | None":
    """Return the best two cuts of all; None without the search's library, or seconds of nodes."""
    try:
        from partitioner.search.explorer import best_tiers
    except ImportError:
        return None
    if any(profile.node_s is None for profile in profiles):
        return None
    return best_tiers(bundle, profiles, links)
