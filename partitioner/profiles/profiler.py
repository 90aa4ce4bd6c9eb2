"""Measuring this machine: every head and tail of a bundle, and every codec on every frontier."""

import gc
import platform
import socket
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from itertools import count
from pathlib import Path

import numpy as np
import onnxruntime
import psutil

from partitioner.bundle.bundle import Bundle
from partitioner.common.defaults import DEFAULT_BUDGET_S
from partitioner.profiles.cut_profiler import MAX_SAMPLES, CutProfiler, Feeds
from partitioner.profiles.node_profiler import measure_nodes
from partitioner.profiles.paused_frames import PausedFrames, frame_factors, measure_crossing_s
from partitioner.profiles.profile import InputOrigin, Machine, Profile
from partitioner.profiles.timing import Call, Repeated, sample_in_turns
from partitioner.runtime.providers import accelerator_of
from partitioner.runtime.sessions import RuntimeOptions, random_feeds
from protos.tensors import Array, TensorSpec
from protos.wire.checksums import check_seal
from protos.wire.framing import decode_response
from protos.wire.messages import unpack_response

_HELD_SHARE = 0.2
"""Of the memory that is free: all stages stay loaded for their turns if they take no more."""
_PAUSED_SHARE = 0.4
"""Of the time, as far as the first turn of all stages leaves it: for frames that come after a pause."""

OnProgress = Callable[[str, int, int], None]


def measure_profile(
    bundle: Bundle,
    options: RuntimeOptions | None = None,
    budget_s: float = DEFAULT_BUDGET_S,
    feeds: Sequence[Feeds] = (),
    on_progress: OnProgress = lambda _stage, _done, _total: None,
) -> Profile:
    """Time every head and tail on this machine, warm, and every codec; return the profile.

    Of a head-only bundle, which has no tails, it holds heads and codecs.

    `feeds` are inputs of one sample each; without them the bundle's samples are used, else random ones.
    `budget_s` is for all stages together, loading included; each runs at least three times.
    `on_progress` is told the stage, how many are done, and how many there are.
    """
    chosen = options or RuntimeOptions()
    origin, samples = _samples(bundle, feeds)
    steps, step = (1 if bundle.heads_only else 2) * len(bundle.cuts) + 1, count()
    begun = time.perf_counter()
    end = begun + budget_s
    gc.collect()
    profiler = CutProfiler(
        bundle,
        chosen,
        samples,
        lambda stage: on_progress(stage, next(step), steps),
        guessed=origin == "random",
    )
    for cut in bundle.cuts.values():
        profiler.measure(cut)
    on_progress("nodes", steps - 1, steps)
    nodes = None if bundle.heads_only else measure_nodes(bundle, samples[0], chosen, end)
    deepest = [name for name, cut in bundle.cuts.items() if cut.head_graph][-1]
    crossing_s = measure_crossing_s(partial(_read, profiler.answer))
    frames = _take_turns(
        list(profiler.repeated.values()),
        lambda: partial(bundle.open_head(deepest, chosen).run, samples[0]),
        (begun, end),
        lambda: on_progress("once more", steps - 1, steps),
        hold=profiler.memory_bytes <= _HELD_SHARE * psutil.virtual_memory().available,
    )
    on_progress("done", steps, steps)
    return Profile(
        splitpoint=version("splitpoint"),
        bundle=bundle.name,
        bundle_digest=bundle.digest,
        machine=machine_of(chosen),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        inputs=origin,
        cuts=profiler.timed(),
        node_s=nodes,
        resume_s=frames.resume_s,
        crossing_s=crossing_s,
        frame_factors=frame_factors(frames.seconds),
        calibration_digest=bundle.ranges.digest if bundle.ranges else "",
    )


def _take_turns(
    stages: Sequence[Repeated],
    open_whole: Callable[[], Call],
    times: tuple[float, float],
    on_turn: Callable[[], None],
    *,
    hold: bool,
) -> PausedFrames:
    """Repeat all stages, and time frames that come after a pause: in between, if memory allows.

    Returns those frames, all taken; `times` are when the whole measurement began, and its end.
    """
    begun, end = times
    if not hold:
        sample_in_turns(stages, end - _PAUSED_SHARE * (end - begun), on_turn)
    with PausedFrames(open_whole(), _PAUSED_SHARE, begun) as frames:

        def take_turn() -> None:
            on_turn()
            frames.keep_up()

        if hold:
            sample_in_turns(stages, end, take_turn, hold=True)
        frames.complete(0.0 if hold else end, on_turn)
        return frames


def machine_of(options: RuntimeOptions) -> Machine:
    """Return the fingerprint of this machine, running with `options`."""
    return Machine(
        hostname=socket.gethostname(),
        cpu=_cpu_name(),
        cores=psutil.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        runtime=f"onnxruntime {onnxruntime.__version__}",
        provider=options.provider,
        accelerator=accelerator_of(options.provider),
        threads=options.threads,
    )


def _samples(bundle: Bundle, feeds: Sequence[Feeds]) -> tuple[InputOrigin, list[Feeds]]:
    """Return where the inputs come from, and the inputs."""
    if feeds:
        return "given", list(feeds)
    if samples := bundle.samples():
        return "samples", list(samples)
    rng = np.random.default_rng(0)
    return "random", [natural_feeds(bundle.inputs, rng) for _ in range(MAX_SAMPLES)]


def natural_feeds(inputs: tuple[TensorSpec, ...], rng: np.random.Generator) -> Feeds:
    """Return random inputs; images get the spectrum of photographs, since noise does not compress."""
    feeds = random_feeds(inputs, rng)
    for spec in inputs:
        if spec.dtype == "uint8" and len(spec.shape) == 4:
            feeds[spec.name] = _photograph_like(spec.sized(), rng)
    return feeds


def _photograph_like(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return uint8 noise with an amplitude of 1/f, as photographs have it (Field, JOSA A 1987)."""
    _, height, width, channels = shape
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = 1.0
    planes = []
    for _ in range(channels):
        noise = np.fft.rfft2(rng.standard_normal((height, width))) / frequency
        plane = np.fft.irfft2(noise, s=(height, width))
        planes.append((plane - plane.mean()) / (plane.std() + 1e-12))
    image: Array = np.clip(128 + 48 * np.stack(planes, axis=-1), 0, 255).astype(np.uint8)[None]
    return image


def _read(answer: bytes) -> Feeds:
    """Take an answer apart, as the client does."""
    header, tensors = decode_response(answer)
    check_seal(header, tensors)
    return unpack_response(header, tensors)


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
