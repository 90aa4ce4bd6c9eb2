"""Seconds of every node, from the runtime's own profiler.

The runtime fuses, renames and reorders nodes, and its profiler costs time itself. So an event is mapped
to the source nodes that it computes (by name, else by its place in the order of execution), shared among
them by their work, and all events are corrected alike until they add up to an unprofiled run.
"""

import json
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from partitioner.bundle.bundle import Bundle
from partitioner.graph.graph import Graph
from partitioner.runtime.sessions import RuntimeOptions, open_bundled
from protos.errors import FaultError
from protos.tensors import Array, native

_MIN_RUNS, _MAX_RUNS = 5, 60
_KERNEL = "_kernel_time"
_FUSED = "fused "
_BOUNDARY = re.compile(r"[^A-Za-z0-9]")


@dataclass(frozen=True)
class KernelEvent:
    """One kernel of the optimised graph: its name there, and its mean time over the runs."""

    name: str
    op: str
    seconds: float


def measure_nodes(
    bundle: Bundle,
    feeds: Mapping[str, Array],
    options: RuntimeOptions,
    until: float,
) -> tuple[float, ...] | None:
    """Return the seconds of each node of the bundle's graph; None where it has none.

    They add up to an unprofiled run. For `until`, see record_kernels.
    """
    if bundle.graph is None:
        return None
    events, whole_s = record_kernels(bundle, feeds, options, until)
    corrected = correct_overhead([event.seconds for event in events], whole_s)
    return spread_over_nodes(bundle.graph, events, corrected)


def record_kernels(
    bundle: Bundle, feeds: Mapping[str, Array], options: RuntimeOptions, until: float
) -> tuple[tuple[KernelEvent, ...], float]:
    """Return the kernels of the whole model, and the median seconds of an unprofiled run.

    Runs until `until` (of time.perf_counter), at least five times, profiled and unprofiled in turns, so
    that a machine that changes its pace changes it for both.
    """
    model = bundle.whole_model()
    plain = open_bundled(model, options)
    with tempfile.TemporaryDirectory(prefix="splitpoint-") as folder:
        watched = open_bundled(model, options, profile_to=Path(folder) / "profile")
        given = {node.name: native(feeds[node.name]) for node in plain.get_inputs()}
        for session in (plain, watched):
            session.run(None, given)
        whole: list[float] = []
        while len(whole) < _MIN_RUNS or (len(whole) < _MAX_RUNS and time.perf_counter() < until):
            start = time.perf_counter()
            plain.run(None, given)
            whole.append(time.perf_counter() - start)
            watched.run(None, given)
        return read_events(Path(watched.end_profiling())), float(np.median(whole))


def read_events(path: Path) -> tuple[KernelEvent, ...]:
    """Return the kernels of a profile in the order of execution, with the mean of the faster three quarters.

    Raises FaultError when the runtime wrote none.
    """
    seconds: dict[tuple[str, int], list[float]] = {}
    ops: dict[tuple[str, int], str] = {}
    for event in json.loads(path.read_bytes()):
        name = event.get("name", "")
        if event.get("cat") == "Node" and name.endswith(_KERNEL):
            key = (name.removesuffix(_KERNEL), int(event["args"]["node_index"]))
            seconds.setdefault(key, []).append(event["dur"] * 1e-6)
            ops[key] = event["args"]["op_name"]
    if not seconds:
        raise FaultError(f"the runtime's profiler wrote no kernel into {path.name}.")
    return tuple(
        KernelEvent(key[0], ops[key], float(np.mean(np.sort(times)[: max(1, 3 * len(times) // 4)])))
        for key, times in seconds.items()
    )


def correct_overhead(seconds: Sequence[float], whole_s: float) -> tuple[float, ...]:
    """Return `seconds` shifted by one constant, none below 0, so that they add up to `whole_s`.

    What the profiler adds to an event, and what the executor does between two, is alike for all.
    """
    times = np.asarray(seconds, np.float64)
    # The constant c with sum(max(t - c, 0)) = whole_s: the k largest times stay above it.
    falling = np.sort(times)[::-1]
    shifts = (np.cumsum(falling) - whole_s) / np.arange(1, len(falling) + 1)
    staying = int(np.flatnonzero(falling > shifts)[-1]) if whole_s > 0 else 0
    return tuple(np.maximum(times - shifts[staying], 0.0).tolist())


def spread_over_nodes(
    graph: Graph, events: Sequence[KernelEvent], seconds: Sequence[float]
) -> tuple[float, ...]:
    """Return the time of each node: that of its event, shared with the nodes fused into it by their work."""
    homes = _homes(graph, events)
    owner = _owners(graph, set(homes))
    members: dict[int, list[int]] = {}
    for node, home in enumerate(owner):
        members.setdefault(home, []).append(node)
    found = np.zeros(len(graph.nodes))
    for home, time_s in zip(homes, seconds, strict=True):
        nodes = members[home]
        work = np.array([graph.nodes[node].flops + 1.0 for node in nodes])
        found[nodes] += time_s * work / work.sum()
    return tuple(found.tolist())


def _homes(graph: Graph, events: Sequence[KernelEvent]) -> list[int]:
    """Return the node that each event is named after, or stands beside in the order of execution."""
    known = dict(graph.producer)
    known |= {node.name: index for index, node in enumerate(graph.nodes)}
    found = [_named(event.name, known) for event in events]
    last = next((home for home in found if home is not None), len(graph.nodes) - 1)
    homes: list[int] = []
    for home in found:
        last = last if home is None else home
        homes.append(last)
    return homes


def _named(name: str, known: Mapping[str, int]) -> int | None:
    """Return the node whose name, or whose value's name, is the longest beginning of an event's name."""
    text = name.removeprefix(_FUSED)
    if text in known:
        return known[text]
    ends = [match.start() for match in _BOUNDARY.finditer(text)]
    return next((known[text[:end]] for end in reversed(ends) if text[:end] in known), None)


def _owners(graph: Graph, seen: set[int]) -> list[int]:
    """Return for each node the one whose event computes it: itself, else the next seen one behind it.

    A runtime names a fused kernel after the last of its values; where nothing seen comes behind, it is
    the nearest before.
    """
    owner: dict[int, int] = {index: index for index in seen}
    for index in reversed(range(len(graph.nodes))):
        if index not in owner:
            behind = [r for v in graph.nodes[index].outputs for r in graph.readers.get(v, ())]
            if homes := [owner[reader] for reader in behind if reader in owner]:
                owner[index] = min(homes)
    for index, node in enumerate(graph.nodes):
        if index not in owner:
            before = [graph.producer[value] for value in node.inputs if value in graph.producer]
            owner[index] = max((owner[maker] for maker in before), default=min(seen))
    return [owner[index] for index in range(len(graph.nodes))]
