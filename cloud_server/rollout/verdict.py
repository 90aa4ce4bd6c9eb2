"""The verdict on a roll-out: do devices fare worse with its version than with the one before? Pure."""

from dataclasses import dataclass

from partitioner.common.units import plural

LEAST_FRAMES = 200
"""Before a version has served that many, shares say nothing."""
_WORSE = 0.05
"""By which share of its frames more may fall back or fail than with the version before."""
MOST_REASONS = 3
"""Of devices that refused a version, so many are repeated."""
_REFUSALS, _REFUSAL_SHARE = 2, 0.2
"""So many devices that refused a version, and that share of those which tried it, are too many."""


@dataclass(frozen=True, slots=True)
class VersionUse:
    """What devices have told of one version."""

    devices: int = 0
    """That run it."""
    refused: int = 0
    """Devices that have tried and refused it."""
    frames: int = 0
    fallbacks: int = 0
    """Frames that the cloud was meant to serve and did not."""
    faults: int = 0
    """Frames that failed by what a version may be to blame for."""
    reasons: tuple[str, ...] = ()
    """Some of those for which devices have refused it, each once."""

    @property
    def fault_share(self) -> float:
        """Share of the frames that failed by what a version may be to blame for."""
        return self.faults / max(1, self.frames)

    @property
    def fallback_share(self) -> float:
        """Share of the frames that fell back."""
        return self.fallbacks / max(1, self.frames)


def why_back(new: VersionUse, before: VersionUse, beside: tuple[VersionUse, VersionUse]) -> str:
    """Return why a version has to go back; empty: it need not.

    `new`: since its roll-out began, or began again. `beside`: both versions in those minutes alone in which
    both served. Fallbacks are compared in these, as a link or a cloud that fails for a while fails all
    versions; faults are a version's own at any time.
    """
    tried = new.devices + new.refused
    if new.refused >= _REFUSALS and new.refused >= _REFUSAL_SHARE * tried:
        return f"of {plural(tried, 'device')} that tried it {new.refused:,} have refused it"
    if new.frames >= LEAST_FRAMES and new.fault_share > before.fault_share + _WORSE:
        shares = f"{new.fault_share:.0%} of {plural(new.frames, 'frame')}"
        return f"{shares} failed by it, and {before.fault_share:.0%} with the version before"
    ours, theirs = beside
    enough = min(ours.frames, theirs.frames) >= LEAST_FRAMES
    if enough and ours.fallback_share > theirs.fallback_share + _WORSE:
        return (
            f"{ours.fallback_share:.0%} of {plural(ours.frames, 'frame')} fell back, and in the same "
            f"minutes {theirs.fallback_share:.0%} of {theirs.frames:,} with the version before"
        )
    return ""
