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
