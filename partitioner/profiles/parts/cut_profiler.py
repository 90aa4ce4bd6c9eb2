"""Measuring the cuts of a bundle one by one: heads, tails, what crosses, and every codec on it."""

import math
import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import psutil

from partitioner.bundle.accuracy import is_allowed
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import Cut
from partitioner.common.memory import release_freed_pages
from partitioner.profiles.contenders import undecided
from partitioner.profiles.parts.codec_profiler import CodecProfiler, with_extra
from partitioner.profiles.profile import CutProfile, OrderBreak, StageProfile, Timing
from partitioner.profiles.stage_order import SIDES, Side, estimates_of, nested_cuts, under_order
from partitioner.profiles.timing import Repeated, undisturbed
from partitioner.runtime.sessions import RuntimeOptions, Stage
from protos.names import CLOUD, EDGE, model_name
from protos.tensors import Array
from protos.wire.framing import encode_response
from protos.wire.messages import pack_response

MAX_SAMPLES = 8
"""Made-up inputs that codecs are measured on."""
SIZED_SAMPLES = 32
"""Given ones: the size of a JPEG differs by a third from image to image, so that of 8 the mean may be off by
an eighth."""
_CROSSING = 4
"""Of these, evenly among them, that go through each head: a head may take long."""
_FILLS_CACHES_S = 0.002
"""A stage that takes so long leaves nothing of a codec in the caches."""

Feeds = Mapping[str, Array]


class CutProfiler:
    """Measures one cut after the other, and keeps what is repeated later, when all have had a turn.

    `samples` are inputs of one sample each; where they are `guessed`, the sizes of what codecs make are
    rather those of the calibration's inputs. `on_stage` hears of each head and tail before it is measured.
    Stages stay loaded until they take more than `may_hold_bytes` together.
    """

    def __init__(
        self,
        bundle: Bundle,
        options: RuntimeOptions,
        samples: list[Feeds],
        on_stage: Callable[[str], None],
        *,
        guessed: bool,
        may_hold_bytes: float,
    ) -> None:
        self.cuts: dict[str, CutProfile] = {}
        self.repeated: dict[tuple[str, Side], Repeated] = {}
        """Cut and side of every stage, to be timed again."""
        self.answer = b""
        """What the last tail's outputs come back in."""
        self._bundle, self._options, self._samples = bundle, options, samples
        self._on_stage = on_stage
        self._codecs = CodecProfiler(bundle, guessed=guessed)
        self._may_hold_bytes, self._nested = may_hold_bytes, nested_cuts(bundle)

    def measure(self, cut: Cut) -> None:
        """Measure head, tail and codecs of a cut."""
        step = 1 if cut.id == CLOUD else max(1, len(self._samples) // _CROSSING)
        inputs = self._samples[::step][: SIZED_SAMPLES if cut.id == CLOUD else _CROSSING]
        head, crossing = self._measure(cut, "head", inputs)
        if self._bundle.heads_only:
            tail, outputs = None, _blank_outputs(self._bundle)
        else:
            tail, (outputs,) = self._measure(cut, "tail", crossing[:1])
        answer = b"" if cut.id == EDGE else _answer(self._bundle, cut, outputs)
        if cut.tail_graph:
            self.answer = answer
        self.cuts[cut.id] = CutProfile(
            head=head if cut.head_graph else None,
            tail=tail if cut.tail_graph else None,
            frontier_bytes=sum(spec.nbytes() for spec in cut.frontier),
            download_bytes=len(answer),
            codecs=self._codecs.measure(cut, crossing),
        )

    def ordered(
        self, resume_s: Callable[[float], float] = lambda _: 0.0
    ) -> tuple[dict[str, CutProfile], tuple[OrderBreak, ...]]:
        """Return the cuts with what all repeats have come to; see under_order.

        `resume_s` tells of what a stage takes in a row what it takes longer in a frame.
        """
        alone = undisturbed([repeat.repeats for repeat in self.repeated.values()])
        estimates = estimates_of(alone)
        for ((cut_id, side), repeat), estimate in zip(
            self.repeated.items(), estimates, strict=True
        ):
            timing = Timing.of(repeat.seconds)
            times = {"timing": timing, "estimate": estimate}
            self.cuts[cut_id] = _with_times(self.cuts[cut_id], side, times)
        cuts, breaks = under_order(self.cuts, self._nested)
        return {name: _resuming(cut, resume_s) for name, cut in cuts.items()}, breaks

    def undecided(self) -> list[Repeated]:
        """Return the stages of the cuts of which it is open which is best on some link."""
        known = self._bundle.calibration.accuracies if self._bundle.calibration else {}

        def is_offered(cut: str, codec: str) -> bool:
            return is_allowed(cut, codec, known.get((cut, codec)), None, asked=False)

        cuts = undecided(self.ordered()[0], is_offered)
        return [repeat for (cut, _), repeat in self.repeated.items() if cut in cuts]

    def see_codecs_in_frames(self, until: float = math.inf) -> None:
        """Add to the codecs what each takes longer behind a stage: one of 2 ms or more, or the longest.

        `until` (of time.perf_counter): see CodecProfiler.behind.
        """
        seconds = {stage: min(stage.seconds) for stage in self.stages}
        long_enough = [stage for stage in self.stages if seconds[stage] >= _FILLS_CACHES_S]
        least = min(long_enough, key=seconds.__getitem__, default=None)
        stage = least or max(self.stages, key=seconds.__getitem__)
        extra = self._codecs.behind(stage.prepared(), until)
        self.cuts = {name: with_extra(cut, extra) for name, cut in self.cuts.items()}

    @property
    def stages(self) -> list[Repeated]:
        """Every stage that computes something; where none does, all that pass values through."""
        computing = [
            stage for (cut, side), stage in self.repeated.items() if getattr(self.cuts[cut], side)
        ]
        return computing or list(self.repeated.values())

    @property
    def holds(self) -> bool:
        """Tell whether all stages so far may stay loaded."""
        stages = [stage for cut in self.cuts.values() for stage in (cut.head, cut.tail)]
        return sum(stage.memory_bytes for stage in stages if stage) <= self._may_hold_bytes

    def _measure(
        self, cut: Cut, side: Side, feeds: list[Feeds]
    ) -> tuple[StageProfile, list[Feeds]]:
        self._on_stage(f"{cut.id} {side}")
        opener = self._bundle.open_head if side == "head" else self._bundle.open_tail
        open_stage = partial(opener, cut.id, self._options)
        repeat = Repeated(lambda: partial(open_stage().run, feeds[0]))
        self.repeated[cut.id, side] = repeat
        measured = _measure_stage(open_stage, feeds, repeat, hold=self.holds)
        if not self.holds:
            for held in self.repeated.values():
                held.release()
        return measured


def _measure_stage(
    open_stage: Callable[[], Stage], feeds: list[Feeds], repeat: Repeated, *, hold: bool
) -> tuple[StageProfile, list[Feeds]]:
    """Return one stage's time and memory on the first of `feeds`, and what it makes of each."""
    release_freed_pages()
    before = psutil.Process().memory_info().rss
    begun = time.perf_counter()
    stage = open_stage()
    opened_s = time.perf_counter() - begun
    outputs: list[Feeds] = [stage.run(feeds[0])]
    memory = max(0, psutil.Process().memory_info().rss - before)
    outputs += [stage.run(sample) for sample in feeds[1:]]
    repeat.begin(partial(stage.run, feeds[0]), opened_s, hold=hold)
    return StageProfile(timing=Timing.of(repeat.seconds), memory_bytes=memory), outputs


def _with_times(cut: CutProfile, side: Side, times: Mapping[str, object]) -> CutProfile:
    stage: StageProfile | None = getattr(cut, side)
    return cut.model_copy(update={side: stage and stage.model_copy(update=times)})


def _resuming(cut: CutProfile, resume_s: Callable[[float], float]) -> CutProfile:
    for side in SIDES:
        if stage := getattr(cut, side):
            cut = _with_times(cut, side, {"resume_s": resume_s(stage.seconds)})
    return cut


def _blank_outputs(bundle: Bundle) -> Feeds:
    """Return what an answer may hold as far as its size goes, where no tail can compute it."""
    return {spec.name: np.zeros(spec.sized(), spec.dtype) for spec in bundle.outputs}


def _answer(bundle: Bundle, cut: Cut, outputs: Feeds) -> bytes:
    """Return the message in which a tail's outputs come back."""
    specs = tuple(spec for spec in bundle.outputs if spec.name in cut.tail_outputs)
    header, buffers = pack_response(model_name(bundle.name, cut.id), "0", outputs, specs)
    return encode_response(header, buffers)
