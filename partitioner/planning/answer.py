"""A selection beside the two ends: what its best option saves, and whether the profiles are sure of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from partitioner.planning.constraints import Candidate
from partitioner.planning.costs import price
from partitioner.planning.selection import Selection, select
from partitioner.profiles.profile import StageProfile
from protos.codecs.registry import codec_name
from protos.names import CLOUD, EDGE

_LEAST_ERROR = 0.02
"""As a share: what is measured again later agrees no better than this (docs/benchmarks.md)."""


@dataclass(frozen=True)
class Answer:
    """The best option of a selection, and the ends that it is compared with."""

    selection: Selection

    @property
    def best(self) -> Candidate:
        """The selection's best candidate."""
        return self.selection.best

    @cached_property
    def cloud_end(self) -> Candidate | None:
        """Everything in the cloud: as JPEG where that is an option, else with the cloud's best codec."""
        sent = [c for c in self.selection.candidates if c.option.cut == CLOUD]
        jpegs = [c for c in sent if codec_name(c.option.codec).startswith("jpeg")]
        return self.first(jpegs or sent)

    @cached_property
    def edge_end(self) -> Candidate | None:
        """Everything on the edge; None on a device that holds heads alone."""
        return self.first([c for c in self.selection.candidates if c.option.cut == EDGE])

    @property
    def ends(self) -> tuple[Candidate, ...]:
        """The ends that exist, also where they miss a limit."""
        return tuple(end for end in (self.cloud_end, self.edge_end) if end)

    @cached_property
    def best_split(self) -> Candidate | None:
        """The best candidate within the limits that is cut inside the model."""
        return self.first([c for c in self.selection.feasible if not is_end(c)])

    @cached_property
    def rival(self) -> Candidate | None:
        """The best other way within the limits: of a split the better end, of an end the best of the rest."""
        ends = [end for end in self.ends if self.is_allowed(end)]
        others = [*ends, self.best_split] if is_end(self.best) and self.best_split else ends
        return self.first([c for c in others if c.option.cut != self.best.option.cut])

    def first(self, candidates: Sequence[Candidate]) -> Candidate | None:
        """Return the one that misses the fewest limits and scores best; None of none."""
        return min(candidates, key=self.rank, default=None)

    def rank(self, candidate: Candidate) -> tuple[int, float]:
        """Return how far behind a candidate is: limits that it misses, then its score."""
        misses = sum(not limit.admits(candidate) for limit in self.selection.constraints)
        return misses, self.score(candidate)

    def is_allowed(self, candidate: Candidate) -> bool:
        """Tell whether a candidate keeps to the limits."""
        return self.rank(candidate)[0] == 0

    def score(self, candidate: Candidate) -> float:
        """Return what the objective makes of a candidate."""
        return self.selection.objective.score(candidate.costs)

    @property
    def saves(self) -> float | None:
        """How much smaller the best score is than the rival's; None without a rival."""
        return None if self.rival is None else self.score(self.rival) - self.score(self.best)

    @cached_property
    def noise(self) -> float:
        """By how much `saves` may be off, as both are medians of few runs; 0 without a rival."""
        pair = [c for c in (self.best, self.rival) if c]
        return math.hypot(*(error for c in pair for error in self._errors(c))) if self.rival else 0

    @property
    def is_within_noise(self) -> bool:
        """Tell whether measuring again might well turn best and rival around."""
        return self.saves is not None and self.noise > 0 and self.saves <= self.noise

    def _errors(self, candidate: Candidate) -> tuple[float, float]:
        """Return what the errors of a candidate's head and of its tail come to in the objective."""
        plan, option = self.selection.plan, candidate.option
        head, tail = plan.edge.cuts[option.cut].head, plan.cloud.cuts[option.cut].tail
        later = replace(option, edge_s=option.edge_s + error_s(head))
        slower = replace(option, cloud_s=option.cloud_s + error_s(tail))
        costs = (price(moved, plan, self.selection.terms) for moved in (later, slower))
        scores = [self.selection.objective.score(one) - self.score(candidate) for one in costs]
        return scores[0], scores[1]


def is_end(candidate: Candidate) -> bool:
    """Tell whether nothing is cut: the whole model runs on one side."""
    return candidate.option.cut in (CLOUD, EDGE)


def error_s(stage: StageProfile | None) -> float:
    """Return half of the 95 % interval of a stage's median in seconds, and at least 2 % of it."""
    if stage is None:
        return 0.0
    return max(stage.error_s, _LEAST_ERROR * stage.seconds)


@dataclass(frozen=True)
class LoneFrame:
    """What the radio's tail adds to the energy of a frame that comes alone, and so pays for all of it."""

    tail_j: float
    sender: Candidate
    """The best option that sends anything."""
    sender_without_j: float
    """What it would take without the tail."""
    best_without: Candidate
    """The best option, if nothing paid for tails."""


def lone_frame_of(answer: Answer) -> LoneFrame | None:
    """Return what the tail does; None where joules are not known, frames come at a rate, or it is none."""
    selection, terms = answer.selection, answer.selection.terms
    radio = terms.radio
    if not terms.knows_energy or terms.fps is not None or radio is None:
        return None
    tail_j = radio.tail_w * radio.tail_s
    sender = answer.first([c for c in selection.feasible if c.option.upload_bytes])
    if not tail_j or sender is None:
        return None
    quick = replace(terms, radio=radio.model_copy(update={"tail_s": 0.0}))
    without = select(selection.plan, quick, selection.objective, selection.constraints)
    spared = price(sender.option, selection.plan, quick)
    return LoneFrame(tail_j, sender, spared.metric("energy"), without.best)
