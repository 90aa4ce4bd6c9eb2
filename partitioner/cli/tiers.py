"""`splitpoint tiers`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from partitioner.cli.flags.arguments import AccuracyDrop, BundleArgument, OnlyCodec
from partitioner.cli.flags.link import LINK_HELP
from partitioner.cli.flags.profiles import ProfileFlags
from partitioner.settings.panels import LINK, PROFILES
from partitioner.terminal.console import JsonFlag, print_json, remark, screen
from partitioner.terminal.flags import flag

if TYPE_CHECKING:
    from partitioner.bundle.bundle import Bundle
    from partitioner.network.link import Link
    from partitioner.profiles.profile import Profile
    from partitioner.search.explorer import TierAnswer

_SHOWN = 12


@dataclass(frozen=True)
class NearFlags:
    """What the machine between device and cloud is."""

    near: Annotated[
        Path | None,
        flag(
            "The near edge's profile.",
            "PROFILE.json",
            panel=PROFILES,
            default="the device's, see --near-scale",
        ),
    ] = None
    near_scale: Annotated[
        float | None,
        flag(
            "What if the near edge took this many times as long? Without --near, of the device's times.",
            "FACTOR",
            panel=PROFILES,
        ),
    ] = None

    def read(self, bundle: "Bundle", profiles: ProfileFlags) -> "Profile":
        """Return the near edge's profile. Raises ProfileError or UsageError."""
        files = replace(profiles, edge=self.near or profiles.edge, edge_scale=self.near_scale)
        return files.read(bundle)[0]

    def check(self) -> None:
        """Raise UsageError where nothing is known of it."""
        from partitioner.profiles.store import check_scale
        from protos.errors import UsageError

        if self.near is None and self.near_scale is None:
            raise UsageError(
                "nothing is known of the near edge. Give its profile with --near, or --near-scale 0.5 for "
                "one twice as fast as the device was measured."
            )
        if self.near_scale is not None:
            check_scale("near_scale", self.near_scale)


def tiers(
    bundle: BundleArgument,
    near_link: Annotated[
        str, flag(f"Device to near edge, {LINK_HELP}.", "UP[/DOWN],RTT", panel=LINK)
    ],
    cloud_link: Annotated[
        str, flag("Near edge to cloud, in the same form.", "UP[/DOWN],RTT", panel=LINK)
    ],
    near: NearFlags,
    profiles: ProfileFlags,
    codec: OnlyCodec = None,
    accuracy_drop: AccuracyDrop = None,
    as_json: JsonFlag = False,
) -> None:
    """Plan for three machines: the device, a near edge and the cloud, with two cuts and two links.

    Example: splitpoint tiers resnet50 --near-scale 0.5 --near-link 100mbit,5ms --cloud-link 10mbit,40ms
    """
    from partitioner.bundle.bundle import Bundle
    from partitioner.common.units import format_duration
    from partitioner.network.link import Link
    from partitioner.planning.tiers import plan_tiers
    from partitioner.reports.plans.plan import scaled_texts
    from partitioner.reports.plans.tiers import tiers_json, tiers_table, tiers_text

    near.check()
    links = (Link.parse(near_link), Link.parse(cloud_link))
    loaded = Bundle.load(bundle)
    here, there = profiles.read(loaded)
    machines = (here, near.read(loaded, profiles), there)
    options = plan_tiers(loaded, links, machines, codec=codec, accuracy_drop=accuracy_drop)
    answer = _best_of_all(loaded, machines, links, accuracy_drop)
    if as_json:
        print_json(tiers_json(loaded, links, machines, options, answer))
        return
    screen.print(tiers_text(options))
    screen.print(tiers_table(loaded, links, options[:_SHOWN]))
    if len(options) > _SHOWN:
        remark(f"The {_SHOWN} fastest of {len(options)}; --json has them all.")
    if answer and None in answer.cuts and answer.total_s < options[0].total_s:
        remark(
            f"By the seconds of nodes and with raw activations, cuts that the bundle lacks take "
            f"{format_duration(answer.total_s)}: {answer.first_after}, then "
            f"{answer.second_after}. splitpoint search {bundle} adds cuts."
        )
    for text in scaled_texts(dict(zip(("device", "near edge", "cloud"), machines, strict=True))):
        remark(f"Note: {text}.")


def _best_of_all(
    bundle: "Bundle",
    profiles: "tuple[Profile, Profile, Profile]",
    links: "tuple[Link, Link]",
    accuracy_drop: float | None,
) -> "TierAnswer | None":
    """Return the best two cuts of all; None without the search's library, or seconds of nodes."""
    try:
        from partitioner.search.explorer import best_tiers
    except ImportError:
        return None
    if any(profile.node_s is None for profile in profiles):
        return None
    return best_tiers(bundle, profiles, links, accuracy_drop=accuracy_drop)
