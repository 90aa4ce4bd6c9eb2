"""Profiles of one version of a bundle that hold for another: the same graph, with other weights."""

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import GRAPH_FILE
from partitioner.profiles.profile import Profile
from partitioner.profiles.store import CLOUD_PROFILE, EDGE_PROFILE, keep_profile, kept_profile


def carry_profiles(before: Bundle, after: Bundle) -> tuple[str, ...]:
    """Keep in `after` the profiles of `before` that hold for it, where it has none; return their names.

    They do where both have the same graph and cuts: what a stage takes does not depend on its weights.
    """
    if not is_same_work(before, after):
        return ()
    carried = []
    for name in (EDGE_PROFILE, CLOUD_PROFILE):
        known = kept_profile(before, name)
        if known is not None and kept_profile(after, name) is None:
            keep_profile(after, name, _of(known, after))
            carried.append(name)
    return tuple(carried)


def is_same_work(one: Bundle, other: Bundle) -> bool:
    """Tell whether two bundles compute the same operations on the same shapes, cut in the same places."""
    first, second = one.manifest, other.manifest
    graphs = {manifest.files.get(GRAPH_FILE) for manifest in (first, second)}
    same_graph = len(graphs) == 1 and None not in graphs
    return same_graph and first.cuts == second.cuts and set(one.cuts) == set(other.cuts)


def _of(profile: Profile, bundle: Bundle) -> Profile:
    """Return the profile as that of `bundle`, unless its low-bit codecs were not measured."""
    known = bundle.calibration_digest if profile.calibration_digest else ""
    return profile.model_copy(update={"bundle_digest": bundle.digest, "calibration_digest": known})
