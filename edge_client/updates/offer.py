"""What the cloud offers a device: the version that it should run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class VersionOffer:
    """The version of a bundle that this device should run, as the cloud steers it."""

    name: str
    version_digest: str
    """Over manifest, calibration and exits."""
    bundle_digest: str
    """Over the manifest alone: what frames name."""
    documents: tuple[str, ...] = ()
    """Files beside those that the manifest names: calibration, exits, signature."""
    size_bytes: int = 0
    """Of all files."""
    release: int = 0
    """Of its signature; 0: it is not signed."""
    reason: str = ""
    """Why this device should run it, in the cloud's words."""
    mark: str = ""
    """Another one: the cloud offers it anew, after a permission came or somebody has said so again."""

    def is_as(self, other: "VersionOffer | None") -> bool:
        """Tell whether this is the offer that came before, and not one made anew."""
        return other is not None and (self.version_digest, self.mark) == (
            other.version_digest,
            other.mark,
        )
