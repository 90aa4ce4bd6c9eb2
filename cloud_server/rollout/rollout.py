"""A roll-out of one version, as plain data: which devices are to run it. Pure."""

import hashlib
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from partitioner.common.frozen_model import FrozenModel

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class RolloutState(StrEnum):
    """What becomes of a roll-out."""

    RUNNING = "running"
    """Devices of its share go to the version."""
    HELD = "held"
    """No device moves: who runs it goes on, who does not has to wait."""
    BACK = "back"
    """Who runs it goes back to the version before."""


class Refusals(FrozenModel):
    """So many devices that refused a version for one reason."""

    reason: str
    devices: int = Field(ge=1)


class Rollout(FrozenModel):
    """A version of the bundle `name` on its way to a share of the devices."""

    name: str
    version_digest: Digest
    before_digest: Digest
    """Of the version that devices go back to."""
    share: float = Field(ge=0, le=1)
    state: RolloutState = RolloutState.RUNNING
    reason: str = ""
    """Why it is in this state."""
    refusals: tuple[Refusals, ...] = ()
    """Why devices had refused the version when it was rolled back, a few reasons, the most frequent first."""
    offers: int = Field(default=0, ge=0)
    """How often somebody said again what was said before: each time is another offer to the devices."""
    again: int = Field(default=0, ge=0)
    """How often it was begun again, so that what devices told of the version before does not count."""

    def includes(self, device: str) -> bool:
        """Tell whether a device is in the share."""
        return position(device, self.version_digest) < self.share

    def target(self, device: str, running: str) -> tuple[str, str]:
        """Return the digest that a device which runs `running` is to run, and why; empty: its own."""
        if self.state is RolloutState.HELD:
            return "", ""
        if self.state is RolloutState.BACK:
            back = self.before_digest if running == self.version_digest else ""
            return back, f"rolled back: {self.reason}" if back else ""
        if self.includes(device):
            return self.version_digest, f"it is rolled out to {self.share:.0%} of the devices"
        if running == self.version_digest:
            return self.before_digest, f"it is rolled out to {self.share:.0%} of the devices only"
        return "", ""


def position(device: str, version_digest: str) -> float:
    """Return where a device stands in the order in which a version reaches devices, from 0 to below 1.

    It follows from both names alone: it is the same on every server and after every restart, a larger share
    has all devices of a smaller one, and it is not always the same devices that come first.
    """
    found = hashlib.sha256(f"{version_digest}\n{device}".encode()).digest()
    return int.from_bytes(found[:7], "big") / (1 << 56)
