"""Measuring this machine: every head and tail of a bundle, and every codec on every frontier."""

import gc
import platform
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime
import psutil

from partitioner.bundle import Bundle
from partitioner.defaults import DEFAULT_BUDGET_S
from partitioner.manifest import Cut
from partitioner.node_profiling import measure_nodes
from partitioner.profiles import (
    CodecProfile,
    CutProfile,
    InputOrigin,
    Machine,
    Profile,
    StageProfile,
    Timing,
)
from partitioner.resuming import PausedFrames, frame_factors, measure_crossing_s
from partitioner.sessions import RuntimeOptions, Stage, random_feeds
from partitioner.timing import Call, Repeated, sample_in_turns, time_call, timing_of
from protos.checksums import check_seal
from protos.codecs import Codec, codecs_for
from protos.memory import release_freed_pages
from protos.messages import encode_value, pack_request, pack_response, unpack_response
from protos.names import CLOUD, EDGE, model_name
from protos.tensors import Array, Buffer, TensorSpec
from protos.wire import decode_response, encode_request, encode_response

_HELD_SHARE = 0.2
"""Of the memory that is free: all stages stay loaded for their turns if they take no more."""
_PAUSED_SHARE = 0.4
"""Of the time, as far as the first turn of all stages leaves it: for frames that come after a pause."""
_CODEC_BLOCK_S = 0.003
"""There are ten codecs to a cut, and their times differ less from call to call."""
_MAX_SAMPLES = 8
"""Inputs that codecs are measured on: their sizes differ from image to image."""
_CROSSING = 4
"""Of these, that go through each head: a head may take long."""

Feeds = Mapping[str, Array]
_CodecSeconds = dict[tuple[str, tuple[tuple[str, tuple[int, ...]], ...]], tuple[float, float]]
"""Seconds of encoding and decoding, by the codec and what it carries."""
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
    stages = 2 * len(bundle.cuts) + 1
    begun = time.perf_counter()
    end = begun + budget_s
    cuts: dict[str, CutProfile] = {}
    codec_s: _CodecSeconds = {}
    repeated: dict[tuple[str, str], Repeated] = {}

    def measure(cut: Cut, side: str, feeds: list[Feeds]) -> tuple[StageProfile, list[Feeds]]:
        done = 2 * len(cuts) + (side == "tail")
        on_progress(f"{cut.id} {side}", done, stages)
        open_stage = partial(
            bundle.open_head if side == "head" else bundle.open_tail, cut.id, chosen
        )
        repeat = repeated[cut.id, side] = Repeated(lambda: partial(open_stage().run, feeds[0]))
        return _measure_stage(open_stage, feeds, repeat)

    gc.collect()
    for cut in bundle.cuts.values():
        head, crossing = measure(
            cut, "head", samples[: _MAX_SAMPLES if cut.id == CLOUD else _CROSSING]
        )
        tail, (outputs,) = (
            (None, [_blank_outputs(bundle)])
            if bundle.heads_only
            else measure(cut, "tail", crossing[:1])
        )
        if cut.tail_graph:
            last, answered = cut, outputs
        cuts[cut.id] = CutProfile(
            head=head if cut.head_graph else None,
            tail=tail if cut.tail_graph else None,
            frontier_bytes=sum(spec.nbytes() for spec in cut.frontier),
            download_bytes=_download_bytes(bundle, cut, outputs),
            codecs={
                c.name: _measure_codec(
                    bundle, cut, c, crossing, codec_s, guessed=origin == "random"
                )
                for c in codecs_for(cut.frontier, bundle.ranges)
            },
        )
    on_progress("nodes", stages - 1, stages)
    nodes = None if bundle.heads_only else measure_nodes(bundle, samples[0], chosen, end)
    deepest = [name for name, cut in bundle.cuts.items() if cut.head_graph][-1]
    crossing_s = measure_crossing_s(partial(_read, _answer(bundle, last, answered)))
    frames_s = _take_turns(
        list(repeated.values()),
        lambda: partial(bundle.open_head(deepest, chosen).run, samples[0]),
        (begun, end),
        lambda: on_progress("once more", stages - 1, stages),
        hold=_memory_bytes(cuts) <= _HELD_SHARE * psutil.virtual_memory().available,
    )
    for (cut_id, side), repeat in repeated.items():
        cuts[cut_id] = _with_timing(cuts[cut_id], side, timing_of(repeat.seconds))
    on_progress("done", stages, stages)
    return Profile(
        splitpoint=version("splitpoint"),
        bundle=bundle.name,
        bundle_digest=bundle.digest,
        machine=machine_of(chosen),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        inputs=origin,
        cuts=cuts,
        node_s=nodes,
        resume_s=max(0.0, median(frames_s) - median(repeated[deepest, "head"].seconds)),
        crossing_s=crossing_s,
        frame_factors=frame_factors(frames_s),
        calibration_digest=bundle.ranges.digest if bundle.ranges else "",
    )


def _take_turns(
    stages: Sequence[Repeated],
    open_whole: Callable[[], Call],
    times: tuple[float, float],
    on_turn: Callable[[], None],
    *,
    hold: bool,
) -> list[float]:
    """Repeat all stages, and time frames that come after a pause: in between, if memory allows.

    Returns the seconds of those frames; `times` are when the whole measurement began, and its end.
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
        frames.complete(0.0 if hold else end)
        return frames.seconds


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
        threads=options.threads,
    )


def _samples(bundle: Bundle, feeds: Sequence[Feeds]) -> tuple[InputOrigin, list[Feeds]]:
    """Return where the inputs come from, and the inputs."""
    if feeds:
        return "given", list(feeds)
    if samples := bundle.samples():
        return "samples", list(samples)
    rng = np.random.default_rng(0)
    return "random", [natural_feeds(bundle.inputs, rng) for _ in range(_MAX_SAMPLES)]


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


def _measure_stage(
    open_stage: Callable[[], Stage], feeds: list[Feeds], repeat: Repeated
) -> tuple[StageProfile, list[Feeds]]:
    """Return one stage's time and memory on the first of `feeds`, and what it makes of each."""
    release_freed_pages()
    before = psutil.Process().memory_info().rss
    stage = open_stage()
    outputs: list[Feeds] = [stage.run(feeds[0])]
    memory = max(0, psutil.Process().memory_info().rss - before)
    outputs += [stage.run(sample) for sample in feeds[1:]]
    del stage
    repeat.sample(0.0)
    return StageProfile(timing=timing_of(repeat.seconds), memory_bytes=memory), outputs


def _with_timing(cut: CutProfile, side: str, timing: Timing) -> CutProfile:
    stage: StageProfile | None = getattr(cut, side)
    return cut.model_copy(update={side: stage and stage.model_copy(update={"timing": timing})})


def _measure_codec(
    bundle: Bundle,
    cut: Cut,
    codec: Codec,
    values: list[Feeds],
    known_s: _CodecSeconds,
    *,
    guessed: bool,
) -> CodecProfile:
    """Time a codec on `values`, and take their mean size; where they are `guessed`, rather the size
    of the calibration's inputs.

    Frontiers of the same shapes share one time, as it goes by the number of values; it is added to
    `known_s`.
    """
    name = model_name(bundle.name, cut.id)
    if cut.id == EDGE:
        return CodecProfile(encode_s=0, decode_s=0, upload_bytes=0)

    def encode(sample: Feeds) -> bytes:
        header, buffers = pack_request(
            name, "0", sample, cut.frontier, codec, bundle.digest, bundle.ranges
        )
        return encode_request(header, buffers)

    def decode(payloads: list[tuple[Codec, Buffer]], sample: Feeds) -> None:
        for spec, (chosen, data) in zip(cut.frontier, payloads, strict=True):
            chosen.decode(data, spec.dtype, sample[spec.name].shape, spec.name)

    encoded = [encode_value(codec, spec, values[0][spec.name]) for spec in cut.frontier]
    upload_bytes = float(np.mean([len(encode(sample)) for sample in values]))
    measured = bundle.calibration and bundle.calibration.accuracies.get((cut.id, codec.name))
    if guessed and measured:
        payloads = [
            sum(len(encode_value(codec, spec, sample[spec.name])[1]) for spec in cut.frontier)
            for sample in values
        ]
        upload_bytes += measured.payload_bytes - float(np.mean(payloads))
    key = codec.name, tuple((spec.dtype, spec.shape) for spec in cut.frontier)
    if key not in known_s:
        known_s[key] = (
            time_call(partial(encode, values[0]), block_s=_CODEC_BLOCK_S).median_s,
            time_call(partial(decode, encoded, values[0]), block_s=_CODEC_BLOCK_S).median_s,
        )
    encode_s, decode_s = known_s[key]
    return CodecProfile(encode_s=encode_s, decode_s=decode_s, upload_bytes=max(0.0, upload_bytes))


def _blank_outputs(bundle: Bundle) -> Feeds:
    """Return what an answer may hold as far as its size goes, where no tail can compute it."""
    return {spec.name: np.zeros(spec.sized(), spec.dtype) for spec in bundle.outputs}


def _memory_bytes(cuts: Mapping[str, CutProfile]) -> int:
    stages = [stage for cut in cuts.values() for stage in (cut.head, cut.tail)]
    return sum(stage.memory_bytes for stage in stages if stage)


def _download_bytes(bundle: Bundle, cut: Cut, outputs: Feeds) -> int:
    return 0 if cut.id == EDGE else len(_answer(bundle, cut, outputs))


def _answer(bundle: Bundle, cut: Cut, outputs: Feeds) -> bytes:
    """Return the message in which a tail's outputs come back."""
    specs = tuple(spec for spec in bundle.outputs if spec.name in cut.tail_outputs)
    header, buffers = pack_response(model_name(bundle.name, cut.id), "0", outputs, specs)
    return encode_response(header, buffers)


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
