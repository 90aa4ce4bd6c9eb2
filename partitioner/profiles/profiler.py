"""Measuring this machine: every head and tail of a bundle, and every codec on every frontier."""

import gc
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from itertools import count

import psutil

from partitioner.bundle.bundle import Bundle
from partitioner.common.arguments import need, need_numbers
from partitioner.common.defaults import DEFAULT_BUDGET_S
from partitioner.common.progress import OnProgress, unheard
from partitioner.profiles.machine import machine_of
from partitioner.profiles.parts.cut_profiler import CutProfiler, Feeds
from partitioner.profiles.parts.node_profiler import measure_nodes
from partitioner.profiles.paused_frames import PausedFrames, measure_crossing_s
from partitioner.profiles.profile import Profile
from partitioner.profiles.samples import profile_samples
from partitioner.profiles.timing import Call, Repeated, sample_in_turns
from partitioner.runtime.sessions import RuntimeOptions
from protos.names import CLOUD
from protos.wire.checksums import check_seal
from protos.wire.framing import decode_response
from protos.wire.messages import unpack_response

_HELD_SHARE = 0.2
"""Of the memory that is free: all stages stay loaded for their turns if they take no more."""
_PAUSED_SHARE = 0.4
"""Of the time that the first turn of all stages leaves: for frames that come after a pause. A frame costs its
pause of 0.1 s, so that this buys 100 of them in 30 s."""
_NODES_SHARE = 0.1
"""Of the time: for the seconds of nodes, which only find candidates."""
_CODECS_SHARE = 0.1
"""Of the time: for codecs behind a stage."""
_OVERTIME_SHARE = 0.5
"""Of the time: how much more all stages may take together, on a busy machine, to have five turns each."""


def measure_profile(
    bundle: Bundle,
    options: RuntimeOptions | None = None,
    budget_s: float = DEFAULT_BUDGET_S,
    feeds: Sequence[Feeds] = (),
    on_progress: OnProgress = unheard,
) -> Profile:
    """Time every head and tail on this machine, warm, and every codec; return the profile.

    Of a head-only bundle, which has no tails, it holds heads and codecs.

    `feeds` are inputs of one sample each; without them the bundle's samples are used, else random ones.
    `budget_s` is for all stages together, loading included. Each runs at least three times; five times, if
    turns of all need no more than half of the budget beyond it.
    `on_progress` is told the stage, how many are done, and how many there are.
    """
    need("bundle", bundle, Bundle, wanted="a Bundle, as Bundle.load(path) returns it")
    need_numbers({"budget_s": budget_s})
    chosen = options or RuntimeOptions()
    origin, samples = profile_samples(bundle, feeds)
    steps, step = (1 if bundle.heads_only else 2) * len(bundle.cuts) + 1, count()
    end = time.perf_counter() + budget_s
    gc.collect()
    profiler = CutProfiler(
        bundle,
        chosen,
        samples,
        lambda stage: on_progress(stage, next(step), steps),
        guessed=origin == "random",
        may_hold_bytes=_HELD_SHARE * psutil.virtual_memory().available,
    )
    for cut in bundle.cuts.values():
        profiler.measure(cut)
    on_progress("nodes", steps - 1, steps)
    until = min(end, time.perf_counter() + _NODES_SHARE * budget_s)
    nodes = None if bundle.heads_only else measure_nodes(bundle, samples[0], chosen, until)
    profiler.see_codecs_in_frames(time.perf_counter() + _CODECS_SHARE * budget_s)
    crossing_s = measure_crossing_s(partial(_read, profiler.answer))
    hand = partial(bundle.open_head(CLOUD, chosen).run, samples[0])
    stages, hold = list(profiler.repeated.values()), profiler.holds
    with PausedFrames(profiler.stages, hand, _PAUSED_SHARE, time.perf_counter()) as frames:

        def take_turn(stage: Repeated, call: Call) -> None:
            on_progress("once more", steps - 1, steps)
            if not (hold and stage.is_rare):  # turns come first
                frames.keep_up(stage, call)

        overtime_s = _OVERTIME_SHARE * budget_s
        sample_in_turns(stages, end, take_turn, hold, profiler.undecided, overtime_s)
        frames.complete(lambda: on_progress("once more", steps - 1, steps))
    cuts, breaks = profiler.ordered(frames.stage_resume_s)
    on_progress("done", steps, steps)
    return Profile(
        splitpoint=version("splitpoint"),
        bundle=bundle.name,
        bundle_digest=bundle.digest,
        machine=machine_of(chosen),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        inputs=origin,
        cuts=cuts,
        order_breaks=breaks,
        node_s=nodes,
        resume_s=frames.resume_s,
        crossing_s=crossing_s,
        frame_factors=frames.factors(),
        calibration_digest=bundle.calibration_digest,
    )


def _read(answer: bytes) -> Feeds:
    """Take an answer apart, as the client does."""
    header, tensors = decode_response(answer)
    check_seal(header, tensors)
    return unpack_response(header, tensors)
