"""A serving engine as data: what a request costs it beyond the tail's computing, and who measured that."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from partitioner.common.frozen_model import FrozenModel
from partitioner.devices.citation import Citation
from protos.codecs.plain_tensors import PLAIN_CODECS
from protos.codecs.registry import codec_name
from protos.errors import UnknownNameError

_LOOP_SHARE = 0.7
"""Of the time of what requests take turns for: beyond it they wait for each other longer than for it."""


class MeasuredRequest(FrozenModel):
    """CPU seconds that an engine took for a request, on average, under load."""

    tail_s: float = Field(ge=0, allow_inf_nan=False)
    """CPU seconds that the tail takes, called directly."""
    request_bytes: float = Field(ge=0, allow_inf_nan=False)
    answer_bytes: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    request_cpu_s: float = Field(gt=0, allow_inf_nan=False)
    """Of all processes of the engine, the tail's computing included."""


@dataclass(frozen=True)
class RequestCost:
    """CPU seconds of a request: `fixed_s`, `byte_s` for each byte of it and its answer, and its computing.

    `compute_factor`: by how many times the tail's own CPU seconds count. `error`: by which share what was
    measured differs from this at most; None: too little was measured to tell.
    """

    fixed_s: float
    byte_s: float
    compute_factor: float
    error: float | None

    def beyond_s(self, compute_s: float, crossing_bytes: float) -> float:
        """Return the CPU seconds of a request beyond the tail's own `compute_s`."""
        growth_s = (self.compute_factor - 1) * compute_s
        return self.fixed_s + self.byte_s * crossing_bytes + growth_s


class ServingEngine(FrozenModel):
    """An engine that serves tails, and what requests cost it."""

    name: str = Field(min_length=1, max_length=64)
    title: str = ""
    measured: tuple[MeasuredRequest, ...] = Field(min_length=1)
    batches: bool = True
    """It computes requests of several callers together."""
    turns: float = Field(default=1.0, ge=0, le=1)
    """Share of the cost beyond computing for which requests of one process take turns: its loop, its lock."""
    pooled: bool = False
    """A request goes to whichever process of the machine is free; else a connection stays with one."""
    process_bytes: float | None = Field(default=None, ge=0)
    """Memory of one process beside the tail; None: not known."""
    codecs: Literal["all"] | tuple[str, ...] = PLAIN_CODECS
    """What it decodes: jpeg and webp at any quality, q2 and q4 without entropy coding; all: as our server."""
    sources: tuple[Citation, ...] = ()

    @field_validator("codecs")
    @classmethod
    def _check_codecs(cls, found: str | tuple[str, ...]) -> str | tuple[str, ...]:
        try:
            for name in found if found != "all" else ():
                codec_name(name)
        except UnknownNameError as error:
            raise ValueError(str(error)) from error
        return found

    def decodes(self, codec: str) -> bool:
        """Tell whether it decodes a codec, by its full name such as `jpeg-75`."""
        return self.codecs == "all" or codec in self.codecs or codec.split("-")[0] in self.codecs

    @property
    def inflates(self) -> bool:
        """It undoes the entropy coding of q2 to q6, which no graph does."""
        return self.codecs == "all"

    @cached_property
    def cost(self) -> RequestCost:
        """What a request costs, fitted to what was measured."""
        return fit(self.measured)

    def workers_of_a_process(self, service_s: float, beyond_s: float) -> int:
        """Return how many workers one process keeps busy before what requests take turns for is."""
        turn_s = self.turns * beyond_s
        if not turn_s:
            return 1 << 30
        return max(1, math.floor(_LOOP_SHARE * service_s / turn_s))


def fit(measured: Sequence[MeasuredRequest]) -> RequestCost:
    """Return the cost that differs least from what was measured: the least squares of relative errors.

    Nothing in it is negative, and computing counts once at least (C. L. Lawson and R. J. Hanson, Solving
    Least Squares Problems, 1974, chapter 23; for three unknowns by trying which of them are 0).
    """
    rows = np.array([(1.0, one.request_bytes + one.answer_bytes, one.tail_s) for one in measured])
    cpu_s = np.array([one.request_cpu_s for one in measured])
    tails_s = rows[:, 2]
    best, least = np.zeros(3), math.inf
    for active in _subsets(len(measured)):
        weighted = rows[:, active] / cpu_s[:, None]
        found, *_ = np.linalg.lstsq(weighted, (cpu_s - tails_s) / cpu_s, rcond=None)
        if (found < 0).any():
            continue
        full = np.zeros(3)
        full[list(active)] = found
        missed = float((((rows @ full + tails_s) / cpu_s - 1) ** 2).sum())
        if missed < least * (1 - 1e-9):
            best, least = full, missed
    off = np.abs((rows @ best + tails_s) / cpu_s - 1).max()
    return RequestCost(
        fixed_s=float(best[0]),
        byte_s=float(best[1]),
        compute_factor=1 + float(best[2]),
        error=float(off) if len(measured) > np.count_nonzero(best) else None,
    )


def _subsets(rows: int) -> Iterator[tuple[int, ...]]:
    """Yield which unknowns there are, the fewest first, and no more than rows tell of; none: all are 0."""
    for count in range(1, min(rows, 3) + 1):
        yield from combinations(range(3), count)


def engine_row(engine: ServingEngine) -> dict[str, Any]:
    """Return an engine's cost as plain data, in SI units."""
    cost = engine.cost
    return {
        "engine": engine.name,
        "fixed_s": cost.fixed_s,
        "byte_s": cost.byte_s,
        "compute_factor": cost.compute_factor,
        "error": cost.error,
    }
