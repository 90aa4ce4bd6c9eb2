"""Searching one bundle: its survivors, which of them it has, and the new ones added and timed."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from partitioner.bundle.bundle import Bundle
from partitioner.common.progress import OnProgress, unheard
from partitioner.common.units import plural
from partitioner.graph.graph import Graph
from partitioner.network.link import Link
from partitioner.planning.option import Option
from partitioner.planning.plan import plan
from partitioner.profiles.machine import machine_of
from partitioner.profiles.profile import Profile
from partitioner.profiles.profiler import measure_profile
from partitioner.profiles.stage_order import nested_cuts, under_order
from partitioner.profiles.store import save_profile
from partitioner.runtime.sessions import RuntimeOptions
from partitioner.search.placement import work_of
from partitioner.search.solver import Search
from partitioner.search.survivors import Assumption, Survivor, find_survivors, found_cut
from partitioner.search.wire_bits import measured_bits
from protos.codecs.registry import codecs_for
from protos.errors import BundleError, ProfileError
from protos.names import CLOUD, EDGE


@dataclass(frozen=True)
class PricedCut:
    """The best cut for one link by the seconds of nodes: its place in the model, and the price."""

    after: str
    edge_s: float
    upload_bytes: float
    total_s: float
    cut: str | None
    """Its id in the bundle; None: the bundle lacks it."""
    bits: float | None
    """Of a float on the wire; None: as in memory."""


@dataclass(frozen=True)
class LinkAnswer:
    """The best on one link: the option that a plan chooses there, and a cut that may be better still."""

    link: Link
    option: Option
    lacking: PricedCut | None
    """One that the bundle lacks, by the seconds of nodes; None: none is faster than the option."""


@dataclass(frozen=True)
class TierAnswer:
    """The best two cuts of all for three machines by the seconds of nodes: their places, and the price."""

    first_after: str
    second_after: str
    compute_s: tuple[float, ...]
    upload_bytes: tuple[float, ...]
    total_s: float
    cuts: tuple[str | None, str | None]
    """Their ids in the bundle; None: the bundle lacks it."""


def graph_of(bundle: Bundle) -> Graph:
    """Return the bundle's graph; BundleError when it comes from a splitpoint that did not keep it."""
    if bundle.graph is None:
        raise BundleError(
            f"{bundle.path} keeps no graph to search in. Import the model again with this splitpoint."
        )
    return bundle.graph


def node_seconds(bundle: Bundle, *profiles: Profile) -> tuple[tuple[float, ...], ...]:
    """Return the seconds of the bundle's nodes on each machine; ProfileError where they were not measured.

    They were timed in another minute than the heads and tails that a plan prices, at which the machine may
    have had another pace. So they are stretched until all of them take what the whole model does, and both
    price the same end alike.
    """
    nodes = len(graph_of(bundle).nodes)
    for profile in profiles:
        if profile.node_s is None or len(profile.node_s) != nodes:
            raise ProfileError(
                f"the profile of {profile.machine.hostname} has no seconds of the {plural(nodes, 'node')}. "
                f"Measure it again with: splitpoint profile {bundle.path}."
            )
    return tuple(_paced(profile) for profile in profiles)


def _paced(profile: Profile) -> tuple[float, ...]:
    times = profile.node_s or ()
    known = (cut for cut in (profile.cuts.get(EDGE), profile.cuts.get(CLOUD)) if cut)
    wholes = (stage.frame_s for cut in known for stage in (cut.head, cut.tail) if stage)
    whole_s, all_s = next(wholes, 0.0), sum(times)
    return tuple(one * whole_s / all_s for one in times) if whole_s and all_s else times


def search_bundle(
    bundle: Bundle,
    edge: Profile,
    cloud: Profile,
    link: Link,
    wanted: Sequence[Assumption],
    *,
    accuracy_drop: float | None = None,
) -> tuple[Survivor, ...]:
    """Return the interior cuts that are best on some uplink under one of the assumptions `wanted`.

    Cuts of the bundle send only what was measured to lose as little as a plan allows, see `is_allowed`.
    """
    edge_s, cloud_s = node_seconds(bundle, edge, cloud)
    size = input_bytes(bundle, edge, cloud, link, accuracy_drop)
    return find_survivors(
        graph_of(bundle),
        (edge_s, cloud_s),
        _resumed(link, edge, cloud),
        wanted,
        input_bytes=size,
        measured=measured_bits(bundle, accuracy_drop),
    )


def _resumed(link: Link, here: Profile, behind: Profile) -> Link:
    """Return the link with what crossing it takes on the machines at its ends, whatever runs there."""
    return replace(link, rtt_s=link.rtt_s + here.crossing_s + behind.resume_s)


def best_on(
    bundle: Bundle,
    edge: Profile,
    cloud: Profile,
    link: Link,
    one: Assumption,
    *,
    accuracy_drop: float | None = None,
) -> PricedCut:
    """Return the best cut of all on one link; of bits as in `search_bundle`."""
    graph, seconds = graph_of(bundle), node_seconds(bundle, edge, cloud)
    size = input_bytes(bundle, edge, cloud, link, accuracy_drop)
    least = measured_bits(bundle, accuracy_drop).values
    work, groups = work_of(graph, seconds, bits=one.bits, input_bytes=size, least_bits=least)
    best = Search(work).best([_resumed(link, edge, cloud)], (one.edge_load, one.cloud_load))
    cut = found_cut(graph, groups, best)
    end = CLOUD if not best.head() else EDGE
    return PricedCut(
        after=graph.place(cut.frontier) if cut else end,
        edge_s=edge.resume_s + best.compute_s[0],
        upload_bytes=best.upload_bytes[0],
        total_s=edge.resume_s + best.total_s,
        cut=_id_of(bundle, cut.head, cut.frontier) if cut else end,
        bits=one.bits,
    )


def answer_on(
    bundle: Bundle,
    edge: Profile,
    cloud: Profile,
    link: Link,
    bits: Iterable[float | None],
    *,
    accuracy_drop: float | None = None,
) -> LinkAnswer:
    """Return the best on one link: what a plan chooses of what was timed, and of all cuts a better one.

    The better one is by the seconds of nodes, with one of `bits` a float.
    """
    option = plan(bundle, link, edge, cloud, accuracy_drop=accuracy_drop).best
    found = [
        best_on(bundle, edge, cloud, link, Assumption(each), accuracy_drop=accuracy_drop)
        for each in dict.fromkeys(bits)
    ]
    better = [one for one in found if one.cut is None and one.total_s < option.total_s]
    return LinkAnswer(link, option, min(better, key=lambda one: one.total_s, default=None))


def best_tiers(
    bundle: Bundle,
    profiles: tuple[Profile, Profile, Profile],
    links: tuple[Link, Link],
    *,
    accuracy_drop: float | None = None,
) -> TierAnswer:
    """Return the best two cuts of all, also those that the bundle lacks, with raw activations."""
    graph = graph_of(bundle)
    size = input_bytes(bundle, profiles[0], profiles[1], links[0], accuracy_drop)
    work, groups = work_of(graph, node_seconds(bundle, *profiles), input_bytes=size)
    device, near, cloud = profiles
    resumed = _resumed(links[0], device, near), _resumed(links[1], near, cloud)
    best = Search(work).best(resumed)

    def place(link: int) -> tuple[str, str | None]:
        head = frozenset(node for item in best.head(link) for node in groups[item])
        frontier = graph.frontier(head)
        if head and frontier:
            return graph.place(frontier), _id_of(bundle, head, frontier)
        return (EDGE, EDGE) if head else (CLOUD, CLOUD)

    (first, first_cut), (second, second_cut) = place(0), place(1)
    return TierAnswer(
        first,
        second,
        best.compute_s,
        best.upload_bytes,
        profiles[0].resume_s + best.total_s,
        (first_cut, second_cut),
    )


def input_bytes(
    bundle: Bundle, edge: Profile, cloud: Profile, link: Link, accuracy_drop: float | None = None
) -> float:
    """Return what the model's inputs take on the wire with the best codec that a plan would allow."""
    options = plan(bundle, link, edge, cloud, accuracy_drop=accuracy_drop).options
    return min((o.upload_bytes for o in options if o.cut == CLOUD), default=math.inf)


def known_cuts(bundle: Bundle, survivors: Sequence[Survivor]) -> tuple[str | None, ...]:
    """Return the id that each survivor has in the bundle; None where it is new."""
    return tuple(_id_of(bundle, survivor.cut.head, survivor.cut.frontier) for survivor in survivors)


def _id_of(bundle: Bundle, head: frozenset[int], frontier: Sequence[str]) -> str | None:
    own = graph_of(bundle).outputs_of(head)
    return next(
        (
            cut.id
            for cut in bundle.manifest.cuts
            if {spec.name for spec in cut.frontier} == set(frontier)
            and frozenset(cut.head_outputs) == own
        ),
        None,
    )


def extend_profiles(
    profiles: Mapping[str, Profile],
    after: Bundle,
    added: Sequence[str],
    budget_s: float,
    on_progress: OnProgress = unheard,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Time the cuts `added` for each of `profiles`, by file name, that this machine measured.

    What was measured of the other cuts stays true: their graphs are the same files. Returns the names of
    the profiles that are whole again, and of those that another machine has to measure again.
    """
    extended, stale = [], []
    for name, old in profiles.items():
        options = _options_of(old)
        if options is None or old.heads_only:
            stale.append(name)
            continue
        new = measure_profile(after.only(added), options, budget_s, on_progress=on_progress)
        save_profile(after, name.removesuffix(".json"), _merged(after, old, new))
        extended.append(name)
    return tuple(extended), tuple(stale)


def _options_of(profile: Profile) -> RuntimeOptions | None:
    """Return how the profile was measured; None if that was on another machine, or with another runtime."""
    machine = profile.machine
    here = machine_of(RuntimeOptions(machine.threads))
    computes_with = {"provider": here.provider, "accelerator": here.accelerator}
    if machine.model_copy(update=computes_with) != here or profile.scale != 1:
        return None
    return RuntimeOptions(machine.threads, machine.provider)


def _merged(bundle: Bundle, old: Profile, new: Profile) -> Profile:
    """Return `old` with the cuts of `new`; codecs that the new bundle is not calibrated for are gone."""
    both = {**new.cuts, **old.cuts}
    cuts = {}
    for cut_id, cut in bundle.cuts.items():
        usable = {codec.name for codec in codecs_for(cut.frontier, bundle.ranges)}
        codecs = {name: c for name, c in both[cut_id].codecs.items() if name in usable}
        cuts[cut_id] = both[cut_id].model_copy(update={"codecs": codecs})
    ordered, breaks = under_order(cuts, nested_cuts(bundle))
    changed = {"cuts": ordered, "order_breaks": breaks, "bundle_digest": bundle.digest}
    return old.model_copy(update=changed)
