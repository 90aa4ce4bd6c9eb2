"""The profile of one machine as another device would have it: an estimate, from its throughput.

Heads and tails take what their nodes' work takes there (throughput.py). What else was measured, such as the
codecs, takes as many times as long as the whole model does, and on the CPU of a device with a GPU never less
than it took.
"""

from collections.abc import Sequence

from partitioner.bundle.bundle import Bundle
from partitioner.common.units import plural
from partitioner.devices.device import Device
from partitioner.graph.graph import Graph
from partitioner.graph.work import work_of
from partitioner.profiles.profile import CutProfile, Profile, StageProfile
from protos.errors import ProfileError, UsageError
from protos.names import EDGE


def scaled_to(device: Device, profile: Profile, bundle: Bundle) -> Profile:
    """Return the profile of `bundle` as the device would have it.

    A device without throughput is what was profiled. Raises what `device_scale` does.
    """
    scale = device_scale(device, profile, bundle)
    rate, graph = device.rate, bundle.graph if device.throughput else None
    if scale is None or rate is None or graph is None:
        return profile
    node_s = [rate.node_s(work) for work in work_of(graph)]
    around = profile.scaled(scale if rate.on == "cpu" else max(1.0, scale))
    cuts = {
        name: _as_computed(found, node_s, _head_nodes(graph, bundle, name))
        for name, found in around.cuts.items()
    }
    return around.model_copy(
        update={
            "cuts": cuts,
            "node_s": None if profile.node_s is None else tuple(node_s),
            "scale": profile.scale * scale,
        }
    )


def device_scale(device: Device, profile: Profile, bundle: Bundle) -> float | None:
    """Return how many times as long the device takes for the whole model; None: it says nothing of it.

    Raises ProfileError for a profile without the cut `edge`, UsageError where the model's work is not known,
    or not how fast the device is on so many threads.
    """
    if not device.throughput:
        return None
    if EDGE not in profile.cuts:
        raise ProfileError(
            f"the edge profile lacks the cut {EDGE}, so its times cannot be scaled to {device.name}. "
            "Measure it with the whole bundle, or give `edge_scale`."
        )
    rate, whole, graph = device.rate, profile.cuts[EDGE].head, bundle.graph
    if rate is None:
        known = " or ".join(str(one.threads) for one in device.throughput)
        raise UsageError(
            f"how fast {device.name} is with {plural(device.threads, 'thread')} is not known, but with "
            f"{known}. Give `threads` one of these, or `edge_scale`."
        )
    whole_s = rate.total_s(work_of(graph)) if graph else 0.0
    if not whole_s or whole is None or not whole.seconds:
        raise UsageError(
            f"the bundle does not say how much work the model is, so its times cannot be scaled to "
            f"{device.name}. Give `edge_scale`; 1 if the profile is of that device."
        )
    return whole_s / whole.seconds


def _head_nodes(graph: Graph, bundle: Bundle, cut: str) -> frozenset[int]:
    """Return the nodes of a cut's head."""
    found = bundle.cuts[cut]
    return graph.head_before([*(spec.name for spec in found.frontier), *found.head_outputs])


def _as_computed(found: CutProfile, node_s: Sequence[float], head: frozenset[int]) -> CutProfile:
    head_s = sum(node_s[node] for node in head)
    tail_s = sum(node_s) - head_s
    update = {"head": _taking(found.head, head_s), "tail": _taking(found.tail, tail_s)}
    return found.model_copy(update=update)


def _taking(stage: StageProfile | None, seconds: float) -> StageProfile | None:
    """Return a stage that takes so long, and spreads as much as it did."""
    if stage is None or not stage.seconds:
        return stage
    return stage.scaled(max(0.0, seconds) / stage.seconds)
