"""The verdict on a roll-out: do devices fare worse with its version than with the one before? Pure."""

from dataclasses import dataclass

from partitioner.common.units import plural

LEAST_FRAMES = 200
"""Before a version has served that many, shares say nothing."""
_WORSE = 0.05
"""By which share of its frames more may fall back or fail than with the version before."""
MOST_REASONS = 3
"""Of devices that refused a version, so many are repeated."""
SEVERAL = 2
"""So many devices have to tell of it, where so many run a version: one may be broken, or no friend."""
_REFUSALS, _REFUSAL_SHARE = SEVERAL, 0.2
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
    faulty: int = 0
    """Devices that have told of faults; no more than SEVERAL are counted."""
    falling: int = 0
    """Those that have told of fallbacks, in the same way."""

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
    several = min(SEVERAL, new.devices)
    is_judged = new.frames >= LEAST_FRAMES and new.faulty >= several
    if is_judged and new.fault_share > before.fault_share + _WORSE:
        shares = f"{new.fault_share:.0%} of {plural(new.frames, 'frame')}"
        return f"{shares} failed by it, and {before.fault_share:.0%} with the version before"
    ours, theirs = beside
    enough = min(ours.frames, theirs.frames) >= LEAST_FRAMES and new.falling >= several
    if enough and ours.fallback_share > theirs.fallback_share + _WORSE:
        return (
            f"{ours.fallback_share:.0%} of {plural(ours.frames, 'frame')} fell back, and in the same "
            f"minutes {theirs.fallback_share:.0%} of {theirs.frames:,} with the version before"
        )
    return ""
