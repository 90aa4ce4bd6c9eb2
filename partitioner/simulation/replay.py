"""Frames over a trace under one policy after the other: every fixed option, and those that choose."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count, pairwise

import numpy as np
import numpy.typing as npt

from partitioner.common.units import format_duration, plural
from partitioner.simulation.demand import Demand
from partitioner.simulation.device import Referee
from partitioner.simulation.pipeline import Passage, Pipeline, Setup

CLAIRVOYANT = "clairvoyant"

_BEAM = 8
"""States that the clairvoyant keeps from frame to frame, besides every fixed option's own."""

OnFrame = Callable[[int], None]
"""Hears the number of frames done."""


Ask = Callable[[Demand, int], Demand]
"""Returns what a frame asks of an option, by its number, once an exit may have answered it."""


def unasked(demand: Demand, _frame: int) -> Demand:
    """Return a demand as it is: there is no exit."""
    return demand


class Policy(Referee):
    """Chooses an option for each frame, from what it has seen come back before.

    It must not use anything that it hears of a frame before that has happened.
    """

    name: str

    @property
    def probe_bytes(self) -> int:
        """What probes have sent so far, with their framing; none by itself."""
        return 0

    def choose(self, arrived_at: float, begun_at: float) -> Demand:
        """Return the option of the frame that arrived then, and whose head is to begin then."""
        raise NotImplementedError

    def sent(self, frame: int, passage: Passage) -> None:
        """Hear how a frame goes its way; see Frames. Does nothing by itself."""

    def note(self, frame: int, passage: Passage) -> None:
        """Hear what became of a frame; see Frames. Does nothing by itself."""


class Fixed(Policy):
    """One option, whatever happens."""

    def __init__(self, demand: Demand, ask: Ask = unasked) -> None:
        self.name = demand.label
        self._demand, self._ask = demand, ask
        self._frames = count()

    def choose(self, arrived_at: float, begun_at: float) -> Demand:
        """Return the option."""
        del arrived_at, begun_at
        return self._ask(self._demand, next(self._frames))


@dataclass(frozen=True, eq=False)
class Run:
    """What one policy made of the frames."""

    policy: str
    passages: tuple[Passage, ...]
    period_s: float = 0.0
    probe_bytes: int = 0
    """Of all probes, beside the frames."""

    def __repr__(self) -> str:
        mean, late = format_duration(self.mean_s), format_duration(self.latency_s(95))
        return f"<Run of {self.policy}: {plural(len(self.passages), 'frame')}, mean {mean}, p95 {late}>"

    @cached_property
    def latencies_s(self) -> npt.NDArray[np.float64]:
        """Seconds from arrival to result, by frame."""
        return np.array([passage.latency_s for passage in self.passages], np.float64)

    def latency_s(self, percent: float) -> float:
        """Return a percentile of the latencies."""
        return float(np.percentile(self.latencies_s, percent))

    @property
    def mean_s(self) -> float:
        """The mean latency."""
        return float(self.latencies_s.mean())

    @property
    def fps(self) -> float:
        """Results a second, from the first arrival until the last result, a beat after which it ends."""
        span_s = max(p.done_at for p in self.passages) - self.passages[0].arrived_at
        return len(self.passages) / max(span_s, self.period_s * len(self.passages), 1e-9)

    @property
    def upload_bytes(self) -> float:
        """Mean bytes a frame on the uplink."""
        return sum(p.demand.upload_bytes for p in self.passages) / len(self.passages)

    @property
    def look_bytes(self) -> float:
        """Mean bytes a frame that looks at the link sent: probes, and tries beyond the option in use."""
        tried = sum(passage.demand.look_bytes for passage in self.passages)
        return (tried + self.probe_bytes) / len(self.passages)

    @property
    def timed_out(self) -> int:
        """Frames whose call was given up."""
        return sum(passage.timed_out for passage in self.passages)

    @property
    def hedged(self) -> int:
        """Frames that the device began to finish while the cloud might still have answered."""
        return sum(passage.hedged for passage in self.passages)

    @property
    def hedges_won(self) -> int:
        """Of those, the ones that the device was first with."""
        return sum(p.hedged and p.done_at < p.answered_at for p in self.passages)

    def missed(self, deadline_s: float) -> float:
        """Return the share of frames later than a deadline."""
        return float((self.latencies_s > deadline_s).mean())

    @property
    def shares(self) -> dict[str, float]:
        """The share of frames that each option had, largest first."""
        counts: dict[str, int] = {}
        for passage in self.passages:
            counts[passage.demand.label] = counts.get(passage.demand.label, 0) + 1
        ordered = sorted(counts.items(), key=lambda item: -item[1])
        return {label: count / len(self.passages) for label, count in ordered}

    @property
    def exit_share(self) -> float:
        """The share of frames that an exit answered."""
        return sum(passage.served_by == "exit" for passage in self.passages) / len(self.passages)

    @property
    def agreement(self) -> float | None:
        """Of those of which it is known, the share that got the whole model's class; None without any."""
        by_exit = (p.demand.agrees for p in self.passages if p.served_by == "exit")
        agrees = [one for one in by_exit if one is not None]
        return sum(agrees) / len(agrees) if agrees else None

    @property
    def threshold_moves(self) -> int:
        """How often a frame had another threshold than the one before it at the same cut."""
        return sum(
            one.demand.exits_from != other.demand.exits_from
            for one, other in pairwise(self.passages)
            if one.demand.label == other.demand.label
        )

    @property
    def switches(self) -> int:
        """How often a frame took another option than the one before it."""
        labels = [passage.demand.label for passage in self.passages]
        return sum(one != other for one, other in pairwise(labels))


def run_policy(setup: Setup, policy: Policy, frames: int) -> Run:
    """Send `frames` frames through the pipeline under one policy."""
    pipeline, noted = Pipeline(setup, policy), _Noted(policy)
    for _ in range(frames):
        pipeline.advance(noted)
    pipeline.finish(noted)
    passages = tuple(noted.passages[frame] for frame in range(frames))
    return Run(policy.name, passages, setup.period_s, policy.probe_bytes)


class _Noted:
    """A policy, and the ways of its frames."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.choose, self.sent = policy.choose, policy.sent
        self.passages: dict[int, Passage] = {}

    def note(self, frame: int, passage: Passage) -> None:
        self._policy.note(frame, passage)
        self.passages[frame] = passage


def run_clairvoyant(
    setup: Setup,
    demands: Sequence[Demand],
    frames: int,
    on_frame: OnFrame | None = None,
    ask: Ask = unasked,
) -> Run:
    """Choose with the whole trace known, for the least mean latency.

    What finishes one frame first may hold up the next, so this is a beam search over the states
    that choices lead to. Every fixed option's own state stays in the beam to the end, so that the result
    is never worse than any of them; it is close to the optimum, and no proof of it.
    """
    fixed = [_Line(Pipeline(setup), demand) for demand in demands]
    beam: list[_Line] = [_Line(Pipeline(setup))]
    for index in range(frames):
        asked = {demand.label: ask(demand, index) for demand in demands}
        grown = [line.grown(demand) for line in beam for demand in asked.values()]
        fixed = [line.grown(asked[line.only.label]) for line in fixed if line.only is not None]
        beam = _best(grown)
        if on_frame:
            on_frame(index + 1)
    best = min([*beam, *fixed], key=lambda line: line.sum_s)
    return Run(CLAIRVOYANT, best.passages(), setup.period_s)


class _Line:
    """One way to have served the frames so far; `only` is set where one option served them all."""

    __slots__ = ("before", "only", "passage", "pipeline", "sum_s")

    def __init__(self, pipeline: Pipeline, only: Demand | None = None) -> None:
        self.pipeline, self.only = pipeline, only
        self.before: _Line | None = None
        self.passage: Passage | None = None
        self.sum_s = 0.0

    def grown(self, demand: Demand) -> "_Line":
        line, given = _Line(self.pipeline.copy(), self.only), _Given(demand)
        line.pipeline.advance(given)
        line.before, line.passage = self, given.passage
        line.sum_s = self.sum_s + given.passage.latency_s
        return line

    def passages(self) -> tuple[Passage, ...]:
        found: list[Passage] = []
        line: _Line | None = self
        while line is not None and line.passage is not None:
            found.append(line.passage)
            line = line.before
        return tuple(reversed(found))


class _Given(Fixed):
    """An option for one frame, and what became of it."""

    passage: Passage

    def note(self, frame: int, passage: Passage) -> None:
        del frame
        self.passage = passage


def _best(lines: list[_Line]) -> list[_Line]:
    """Return the lines to keep: those of the least sum, but of equal states only one."""
    kept: dict[object, _Line] = {}
    for line in sorted(lines, key=lambda line: line.sum_s):
        kept.setdefault(line.pipeline.key(), line)
        if len(kept) == _BEAM:
            break
    return list(kept.values())
