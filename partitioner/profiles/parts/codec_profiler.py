"""Measuring codecs: seconds of encoding and decoding in a frame, and sizes of messages."""

import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from statistics import median
from typing import NamedTuple

import numpy as np

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import Cut
from partitioner.profiles.profile import CodecProfile, CutProfile
from partitioner.profiles.timing import Call, time_call
from protos.codecs.base import Codec
from protos.codecs.registry import codecs_for
from protos.names import EDGE, model_name
from protos.tensors import Array, Buffer
from protos.wire.framing import encode_request
from protos.wire.messages import encode_value, pack_request

_BLOCK_S = 0.001
"""There are ten codecs to a cut: longer blocks would leave little time for heads and tails."""
_LEAST_ALTERNATIONS, _ALTERNATIONS = 3, 9
"""Of a stage and a codec, to learn what that takes behind a stage."""

Feeds = Mapping[str, Array]


class CodecSeconds(NamedTuple):
    """Seconds of encoding and of decoding."""

    encode_s: float
    decode_s: float


class CodecProfiler:
    """Measures the codecs of one cut after the other; where samples are `guessed`, see `_beyond_samples`.

    Frontiers of the same shapes share one time, as it goes by the number of values.
    """

    def __init__(self, bundle: Bundle, *, guessed: bool) -> None:
        self._bundle, self._guessed = bundle, guessed
        self._seconds: dict[object, CodecSeconds] = {}
        self._calls: dict[str, tuple[Call, Call]] = {}
        """Encoding and decoding with each codec, of what it was first met with."""

    def measure(self, cut: Cut, values: Sequence[Feeds]) -> dict[str, CodecProfile]:
        """Time the codecs that suit a cut on `values`, in a row, and take their mean size."""
        return {
            codec.name: self._measure(cut, codec, values)
            for codec in codecs_for(cut.frontier, self._bundle.ranges)
        }

    def behind(self, stage: Call, until: float = math.inf) -> dict[str, CodecSeconds]:
        """Return what each codec takes longer behind a run of `stage` than in a row.

        In a frame a codec runs once, between a stage and a message, with the caches full of the model. All
        have three turns, and up to nine `until` then (of time.perf_counter).
        """
        extras: dict[str, list[CodecSeconds]] = {name: [] for name in self._calls}
        for turn in range(_ALTERNATIONS):
            if turn >= _LEAST_ALTERNATIONS and time.perf_counter() > until:
                break
            for name, calls in self._calls.items():
                extras[name].append(CodecSeconds(*(_extra_s(stage, call) for call in calls)))
        return {
            name: CodecSeconds(*(max(0.0, median(seconds)) for seconds in zip(*found, strict=True)))
            for name, found in extras.items()
        }

    def _measure(self, cut: Cut, codec: Codec, values: Sequence[Feeds]) -> CodecProfile:
        if cut.id == EDGE:
            return CodecProfile(encode_s=0, decode_s=0, upload_bytes=0)
        upload_bytes = float(np.mean([len(self._encode(cut, codec, sample)) for sample in values]))
        upload_bytes += self._beyond_samples(cut, codec, values)
        key = codec.name, tuple((spec.dtype, spec.shape) for spec in cut.frontier)
        if key not in self._seconds:
            encoded = [encode_value(codec, spec, values[0][spec.name]) for spec in cut.frontier]
            encode = partial(self._encode, cut, codec, values[0])
            decode = partial(_decode, cut, encoded, values[0])
            self._calls.setdefault(codec.name, (encode, decode))
            self._seconds[key] = CodecSeconds(
                *(time_call(call, block_s=_BLOCK_S).median_s for call in (encode, decode))
            )
        return CodecProfile(**self._seconds[key]._asdict(), upload_bytes=max(0.0, upload_bytes))

    def _encode(self, cut: Cut, codec: Codec, sample: Feeds) -> bytes:
        bundle = self._bundle
        name = model_name(bundle.name, cut.id)
        header, buffers = pack_request(
            name, "0", sample, cut.frontier, codec, bundle.digest, bundle.ranges
        )
        return encode_request(header, buffers)

    def _beyond_samples(self, cut: Cut, codec: Codec, values: Sequence[Feeds]) -> float:
        """Return how many bytes more the calibration's inputs take than guessed ones."""
        calibration = self._bundle.calibration
        measured = calibration and calibration.accuracies.get((cut.id, codec.name))
        if not self._guessed or not measured:
            return 0.0
        payloads = [
            sum(len(encode_value(codec, spec, sample[spec.name])[1]) for spec in cut.frontier)
            for sample in values
        ]
        return measured.payload_bytes - float(np.mean(payloads))


def with_extra(cut: CutProfile, extra: Mapping[str, CodecSeconds]) -> CutProfile:
    """Return the cut with codecs that take longer by `extra`, as in frames."""
    if not cut.download_bytes:  # nothing crosses
        return cut
    codecs = {
        name: found.model_copy(
            update={
                "encode_s": found.encode_s + extra[name].encode_s,
                "decode_s": found.decode_s + extra[name].decode_s,
                "resume_s": extra[name].encode_s,
            }
        )
        for name, found in cut.codecs.items()
    }
    return cut.model_copy(update={"codecs": codecs})


def _extra_s(stage: Call, call: Call) -> float:
    stage()
    begun = time.perf_counter()
    call()
    behind = time.perf_counter()
    call()
    return (behind - begun) - (time.perf_counter() - behind)


def _decode(cut: Cut, payloads: Sequence[tuple[Codec, Buffer]], sample: Feeds) -> None:
    for spec, (chosen, data) in zip(cut.frontier, payloads, strict=True):
        chosen.decode(data, spec.dtype, sample[spec.name].shape, spec.name)
