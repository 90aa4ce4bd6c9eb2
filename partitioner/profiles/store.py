"""Profiles on disk: where a bundle keeps them, and whether they still hold."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from partitioner.bundle.bundle import Bundle
from partitioner.profiles.profile import Machine, Profile
from protos.errors import BundleError, FileError, ProfileError, UsageError

MAX_SCALE = 1e6
"""Between a microcontroller and a data centre."""
EDGE_PROFILE, CLOUD_PROFILE = "edge", "cloud"
"""The names under which a bundle keeps the profiles of its two sides."""


@dataclass(frozen=True)
class KeptProfile:
    """A profile in a bundle's folder, and what is wrong with it."""

    name: str
    """Of the file, without its ending: `edge`, `cloud`."""
    profile: Profile | None
    """None where it cannot be read."""
    wrong: str
    """Why it cannot be read, or is stale; empty: it holds."""


def profile_path(bundle: Bundle, name: str) -> Path:
    """Return where a bundle keeps a profile."""
    return bundle.profiles / f"{name}.json"


def check_scale(name: str, scale: float) -> None:
    """Raise UsageError unless some machine might be `scale` times as slow as the one that was measured."""
    if not 1 / MAX_SCALE <= scale <= MAX_SCALE:
        raise UsageError(
            f"`{name}` {scale} has no meaning. Give a factor above 0, such as 6 or 0.2, and at most "
            f"{MAX_SCALE:g}."
        )


def find_profiles(
    bundle: Bundle,
    edge: Path | None = None,
    cloud: Path | None = None,
    *,
    edge_scale: float = 1.0,
    cloud_scale: float | None = None,
) -> tuple[Profile, Profile]:
    """Load the profiles of both sides: from the files given, else from the bundle's own folder.

    `cloud_scale` without a cloud profile prices a cloud that takes that many times the edge's
    measured time (0.2: five times as fast); the result says that it is scaled, not measured.
    """
    for name, scale in (("edge_scale", edge_scale), ("cloud_scale", cloud_scale)):
        if scale is not None:
            check_scale(name, scale)
    command = f"splitpoint profile {bundle.path}"
    own = profile_path(bundle, EDGE_PROFILE)
    edge_profile = Profile.load(edge or own, f"{command} --out {edge}" if edge else command)
    cloud_path = cloud or profile_path(bundle, CLOUD_PROFILE)
    command += " --cloud HOST:PORT"
    if cloud is None and not cloud_path.exists():
        command += ", or give `cloud_scale` 0.2 to assume one five times as fast as the edge"
    if cloud is None and cloud_scale is not None and not cloud_path.exists():
        if edge_profile.heads_only:
            raise ProfileError(
                f"the edge profile is of heads alone, so no cloud can be assumed from it with `cloud_scale`. "
                f"Measure one: splitpoint profile {bundle.path} --cloud HOST:PORT."
            )
        cloud_profile = edge_profile
    else:
        cloud_profile = Profile.load(cloud_path, command)
    return (
        edge_profile.scaled(edge_scale) if edge_scale != 1 else edge_profile,
        cloud_profile.scaled(cloud_scale) if cloud_scale not in (None, 1) else cloud_profile,
    )


def is_of_this_machine(profile: Profile, machine: Machine) -> bool:
    """Tell whether a profile's times hold here: the same processor, cores and way to run."""
    return _speed_of(profile.machine) == _speed_of(machine)


def is_of_that_server(profile: Profile, machine: Machine) -> bool:
    """Tell whether a profile's times are those of a server: the same host, and what it runs with."""
    measured = profile.machine
    return measured.hostname == machine.hostname and _speed_of(measured) == _speed_of(machine)


def _speed_of(machine: Machine) -> tuple[str | int, ...]:
    computes_with = machine.provider, machine.accelerator
    return machine.cpu, machine.cores, machine.runtime, *computes_with, machine.threads


def kept_profiles(bundle: Bundle) -> tuple[KeptProfile, ...]:
    """Return all profiles in the bundle's folder, stale and damaged ones too, by name."""
    return tuple(_kept(bundle, path) for path in sorted(bundle.profiles.glob("*.json")))


def _kept(bundle: Bundle, path: Path) -> KeptProfile:
    try:
        profile = Profile.load(path, _measure_again(bundle, path.stem))
    except ProfileError as error:
        return KeptProfile(path.stem, None, str(error))
    return KeptProfile(path.stem, profile, _staleness(bundle, profile))


def _measure_again(bundle: Bundle, name: str) -> str:
    """Return the command that measures what the profile of that name is of."""
    command = f"splitpoint profile {bundle.path}"
    side = " --cloud HOST:PORT" if name == CLOUD_PROFILE else ""
    out = "" if name in (EDGE_PROFILE, CLOUD_PROFILE) else f" --out {profile_path(bundle, name)}"
    return f"{command}{side}{out}"


def _staleness(bundle: Bundle, profile: Profile) -> str:
    """Say why a profile does not hold for the bundle as it is; empty: it does."""
    if profile.bundle_digest != bundle.digest:
        return f"stale: of another version of the bundle, {profile.bundle_digest[:12]}…"
    missing = [cut for cut in bundle.cuts if cut not in profile.cuts]
    if missing and not profile.heads_only:
        return f"stale: it lacks {', '.join(missing)}"
    if profile.calibration_digest != bundle.calibration_digest:
        had = "another calibration" if profile.calibration_digest else "no calibration"
        return f"stale: measured with {had}, so q2 to q6 are not planned"
    return ""


def load_profiles(bundle: Bundle) -> tuple[dict[str, Profile], tuple[str, ...]]:
    """Return the profiles of this very bundle by file name, and what is wrong with unreadable ones."""
    found, wrong = {}, []
    for one in kept_profiles(bundle):
        if one.profile is None:
            wrong.append(one.wrong)
        elif one.profile.bundle_digest == bundle.digest:
            found[f"{one.name}.json"] = one.profile
    return found, tuple(wrong)


def stale_profiles(bundle: Bundle, edge: Profile, cloud: Profile) -> list[str]:
    """Return the sides that were not measured with the calibration that the bundle has now."""
    ours = bundle.calibration_digest
    sides = (("edge", edge), ("cloud", cloud))
    return [role for role, profile in sides if profile.calibration_digest != ours]


def kept_profile(bundle: Bundle, name: str) -> Profile | None:
    """Return the bundle's own profile, or None if it has none that is of any use."""
    try:
        profile = Profile.load(profile_path(bundle, name))
    except ProfileError:
        return None
    ranges = bundle.calibration_digest or profile.calibration_digest
    fits = (
        profile.bundle_digest == bundle.digest
        and set(bundle.cuts) <= set(profile.cuts)
        and profile.calibration_digest == ranges
    )
    return profile if fits else None


def save_profile(bundle: Bundle, name: str, profile: Profile, out: Path | None = None) -> None:
    """Write a profile to `out`, or under its name into the bundle's folder.

    Raises FileError where the disk refuses, BundleError where the folder holds another version by now.
    """
    if out is None:
        bundle.folder_for("the profile")
    profile.save(out or profile_path(bundle, name))


def keep_profile(bundle: Bundle, name: str, profile: Profile) -> Profile:
    """Keep a profile in the bundle's folder where that is possible; else it is measured again next time."""
    with suppress(OSError, FileError, BundleError):
        save_profile(bundle, name, profile)
    return profile
