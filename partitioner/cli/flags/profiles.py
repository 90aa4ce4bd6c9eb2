"""Flags of what was measured: whose profiles a command takes, and by how much it scales them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from partitioner.settings.panels import PROFILES
from partitioner.terminal.flags import flag

if TYPE_CHECKING:
    from partitioner.bundle.bundle import Bundle
    from partitioner.devices.device import Device
    from partitioner.profiles.profile import Profile

_FILE, _OWN = "PROFILE.json", "the bundle's own"

EdgeScale = Annotated[
    float | None,
    flag(
        "What if the edge took this many times as long? Scaled, not measured.",
        "FACTOR",
        panel=PROFILES,
        default="1; with a --device as that is",
    ),
]
CloudScale = Annotated[
    float | None,
    flag(
        "What if the cloud took this many times as long as its profile, or, without one, as the edge's?",
        "FACTOR",
        panel=PROFILES,
    ),
]


@dataclass(frozen=True)
class ProfileFiles:
    """Profiles of edge and cloud, and what the cloud's is scaled by."""

    edge: Annotated[
        Path | None, flag("The edge's profile.", _FILE, panel=PROFILES, default=_OWN)
    ] = None
    cloud: Annotated[
        Path | None, flag("The cloud's profile.", _FILE, panel=PROFILES, default=_OWN)
    ] = None
    cloud_scale: CloudScale = None

    def read(self, bundle: "Bundle") -> "tuple[Profile, Profile]":
        """Return the profiles of edge and cloud. Raises ProfileError or UsageError."""
        from partitioner.profiles.store import find_profiles

        return find_profiles(bundle, self.edge, self.cloud, cloud_scale=self.cloud_scale)


@dataclass(frozen=True)
class ProfileFlags(ProfileFiles):
    """Profiles of edge and cloud, and what each is scaled by."""

    edge_scale: EdgeScale = None

    def read(self, bundle: "Bundle", device: "Device | None" = None) -> "tuple[Profile, Profile]":
        """Return the profiles of edge and cloud; the edge's as `device` has it unless a scale is given.

        Raises ProfileError or UsageError.
        """
        from partitioner.devices.scaled_profile import scaled_to
        from partitioner.profiles.store import find_profiles

        scale = 1.0 if self.edge_scale is None else self.edge_scale
        here, there = find_profiles(
            bundle, self.edge, self.cloud, edge_scale=scale, cloud_scale=self.cloud_scale
        )
        if target := self.target(device):
            here = scaled_to(target, here, bundle)
        return here, there

    def target(self, device: "Device | None") -> "Device | None":
        """Return the device that the edge's times are scaled to; None where a factor is given by hand."""
        return device if self.edge_scale is None else None


@dataclass(frozen=True)
class ScaleFlags:
    """What the own profiles of several bundles are scaled by."""

    edge_scale: EdgeScale = None
    cloud_scale: CloudScale = None

    def read_all(
        self, bundles: "Sequence[Bundle]", device: "Device | None" = None
    ) -> "list[tuple[Profile, Profile]]":
        """Return the bundles' own profiles, each scaled as `plan` does. Raises what its `read` does."""
        flags = ProfileFlags(edge_scale=self.edge_scale, cloud_scale=self.cloud_scale)
        return [flags.read(bundle, device) for bundle in bundles]
