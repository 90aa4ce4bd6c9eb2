"""Flags of what was measured: whose profiles a command takes, and by how much it scales them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from partitioner.settings.panels import PROFILES
from partitioner.terminal.flags import option

if TYPE_CHECKING:
    from partitioner.bundle.bundle import Bundle
    from partitioner.devices.device import Device
    from partitioner.profiles.profile import Profile

_FILE, _OWN = "PROFILE.json", "the bundle's own"

EdgeScale = Annotated[
    float | None,
    option(
        "What if the edge took this many times as long? Scaled, not measured.",
        "FACTOR",
        panel=PROFILES,
        default="1; with a --device as that is",
    ),
]
CloudScale = Annotated[
    float | None,
    option(
        "The same for the cloud; without a cloud profile, of the edge's times.",
        "FACTOR",
        panel=PROFILES,
    ),
]


@dataclass(frozen=True)
class ProfileFiles:
    """Profiles of edge and cloud, and what the cloud's is scaled by."""

    edge: Annotated[
        Path | None, option("The edge's profile.", _FILE, panel=PROFILES, default=_OWN)
    ] = None
    cloud: Annotated[
        Path | None, option("The cloud's profile.", _FILE, panel=PROFILES, default=_OWN)
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
        from partitioner.devices.device import scaled_to
        from partitioner.profiles.store import find_profiles

        scale = 1.0 if self.edge_scale is None else self.edge_scale
        here, there = find_profiles(
            bundle, self.edge, self.cloud, edge_scale=scale, cloud_scale=self.cloud_scale
        )
        if device and self.edge_scale is None:
            here = scaled_to(device, here, bundle.manifest.flops)
        return here, there


@dataclass(frozen=True)
class ScaleFlags:
    """What the own profiles of several bundles are scaled by."""

    edge_scale: EdgeScale = None
    cloud_scale: CloudScale = None

    def read(self, bundle: "Bundle", device: "Device | None" = None) -> "tuple[Profile, Profile]":
        """Return a bundle's own profiles of edge and cloud, as `ProfileFlags.read` does."""
        flags = ProfileFlags(edge_scale=self.edge_scale, cloud_scale=self.cloud_scale)
        return flags.read(bundle, device)
