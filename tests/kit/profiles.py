"""Profiles written by hand: what a machine would have measured of a bundle, cut by cut."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import MODEL_GRAPH, Cut, FileDigest, Manifest
from partitioner.profiles.machine import machine_of
from partitioner.profiles.profile import (
    CodecProfile,
    CutProfile,
    Machine,
    Profile,
    StageProfile,
    Timing,
)
from partitioner.profiles.stage_order import heads_of
from partitioner.runtime.sessions import RuntimeOptions
from protos.names import CLOUD, EDGE
from protos.tensors import TensorSpec

MACHINE = Machine(
    hostname="h", cpu="c", cores=1, memory_bytes=1, system="s", python="3", runtime="r",
    provider="CPUExecutionProvider", threads=1,
)  # fmt: skip


def stage(seconds: float, memory_bytes: int = 1000) -> StageProfile:
    timing = Timing(median_s=seconds, p10_s=seconds, p90_s=seconds, repeats=5)
    return StageProfile(timing=timing, memory_bytes=memory_bytes)


def codec(upload: float, encode_s: float = 0.0, decode_s: float = 0.0) -> CodecProfile:
    return CodecProfile(encode_s=encode_s, decode_s=decode_s, upload_bytes=upload)


def make(cuts: dict[str, tuple[float, float, dict[str, CodecProfile]]]) -> tuple[Bundle, Profile]:
    """A bundle and a profile from (head seconds, tail seconds, codecs) by cut; answers weigh 1,000 bytes."""
    spec = TensorSpec("x", "float32", (-1, 4))
    interior = tuple(
        Cut(id=name, after="a", frontier=(spec,), head_graph="h", tail_graph="t")
        for name in cuts
        if name not in ("cloud", "edge")
    )
    manifest = Manifest(
        name="m",
        created_by="t",
        source="t",
        inputs=(spec,),
        outputs=(spec,),
        cuts=interior,
        files=dict.fromkeys((MODEL_GRAPH, "h", "t"), FileDigest(sha256="0" * 64, size_bytes=1)),
    )
    bundle = Bundle(Path("m"), manifest)
    profiles = {
        name: CutProfile(
            head=stage(head) if head else None,
            tail=stage(tail) if tail else None,
            frontier_bytes=16 if name != "edge" else 0,
            download_bytes=1000 if name != "edge" else 0,
            codecs=codecs,
        )
        for name, (head, tail, codecs) in cuts.items()
    }
    profile = Profile(
        splitpoint="0", bundle="m", bundle_digest=bundle.digest, machine=MACHINE,
        measured_at="2026-01-01T00:00:00+00:00", inputs="random", cuts=profiles,
    )  # fmt: skip
    return bundle, profile


EXAMPLE = {
    "cloud": (0.0, 0.100, {"raw": codec(100_000), "jpeg-75": codec(20_000, 0.004, 0.002)}),
    "cut-01": (0.030, 0.070, {"raw": codec(10_000, 0.001, 0.001)}),
    "edge": (0.100, 0.0, {"raw": codec(0)}),
}


def spread_out(profile: Profile, p90: dict[str, float]) -> Profile:
    """The profile with these 90th percentiles for the head and the tail of cut-01."""

    def spread(found: StageProfile, to: float) -> StageProfile:
        timing = Timing(**{**found.timing.model_dump(), "p90_s": to})
        return found.model_copy(update={"timing": timing})

    cut = profile.cuts["cut-01"]
    changes = {
        side: spread(found, p90[side]) for side in p90 if (found := getattr(cut, side)) is not None
    }
    return profile.model_copy(
        update={"cuts": {**profile.cuts, "cut-01": cut.model_copy(update=changes)}}
    )


def profile_of(bundle: Bundle, slowness: float) -> Profile:
    """A machine that takes `slowness` seconds for the whole model, and shares of it by the cut's place."""
    cuts, last = {}, len(bundle.cuts) - 1
    for place, (name, cut) in enumerate(bundle.cuts.items()):
        share = place / last
        size = sum(spec.nbytes() for spec in cut.frontier)
        cuts[name] = CutProfile(
            head=stage(slowness * share, 1_000_000) if place else None,
            tail=stage(slowness * (1 - share), 1_000_000) if place < last else None,
            frontier_bytes=size,
            download_bytes=100 if place < last else 0,
            codecs={
                "raw": CodecProfile(encode_s=0, decode_s=0, upload_bytes=size + 200 if size else 0)
            },
        )
    return Profile(
        splitpoint="0", bundle=bundle.name, bundle_digest=bundle.digest, machine=MACHINE,
        measured_at="", inputs="random", cuts=cuts,
    )  # fmt: skip


def steady(bundle: Bundle, seconds: float = 0.01) -> Profile:
    """What this machine would have measured if it took `seconds` for the whole, and each node alike.

    For what a measured profile cannot be asked: which option wins does not change with a busy machine.
    """
    nodes = len(heads_of(bundle)[EDGE])
    even = additive(bundle, (seconds / nodes,) * nodes, {"half": 16, "int8": 8})
    waits = {"resume_s": 1e-5, "crossing_s": 1e-5}
    return even.model_copy(update={"machine": machine_of(RuntimeOptions()), **waits})


def profile_of_heads(profile: Profile, held: Bundle) -> Profile:
    """What of a profile a device could have measured that holds no tails."""
    cuts = {cut: profile.cuts[cut].model_copy(update={"tail": None}) for cut in held.cuts}
    return profile.model_copy(update={"cuts": cuts, "node_s": None})


def additive(
    bundle: Bundle, node_s: Sequence[float], bits: Mapping[str, int] | None = None
) -> Profile:
    """The profile of a machine on which heads and tails take just what their nodes take.

    `bits`: codecs at every cut within the model, and what a float32 takes by each.
    """
    heads = heads_of(bundle)
    sizes = {spec.name: spec.nbytes() for spec in bundle.outputs}
    cuts = {}

    def inside(cut: Cut) -> bool:
        return cut.id not in (CLOUD, EDGE)

    for cut_id, cut in bundle.cuts.items():
        head = sum(node_s[node] for node in heads[cut_id])
        cuts[cut_id] = CutProfile(
            head=stage(head) if cut.head_graph else None,
            tail=stage(sum(node_s) - head) if cut.tail_graph else None,
            frontier_bytes=sum(spec.nbytes() for spec in cut.frontier),
            download_bytes=sum(sizes[name] for name in cut.tail_outputs),
            codecs={
                "raw": codec(size := sum(spec.nbytes() for spec in cut.frontier)),
                **{name: codec(size * b / 32) for name, b in (bits or {}).items() if inside(cut)},
            },
        )
    return Profile(
        splitpoint="0", bundle=bundle.name, bundle_digest=bundle.digest, machine=MACHINE,
        measured_at="2026-01-01T00:00:00+00:00", inputs="random", cuts=cuts,
        node_s=tuple(node_s), calibration_digest=bundle.calibration_digest,
    )  # fmt: skip
