"""The heads and tails on this device: loaded when they are first needed, run one at a time."""

import threading
from collections.abc import Callable, Mapping
from time import perf_counter

from partitioner.bundle import Bundle
from partitioner.sessions import RuntimeOptions, Stage
from protos.tensors import Array

KEPT = 4
"""Heads, and as many tails, that stay loaded: a cut that moves back and forth costs nothing, and one
that wanders over all cuts does not fill a small device's memory."""


class Stages:
    """The sessions of one bundle that this device holds. Safe to call from several threads.

    One stage runs at a time: on a small device two would only slow each other down.
    """

    def __init__(self, bundle: Bundle, options: RuntimeOptions) -> None:
        self.bundle = bundle
        self.options = options
        self._heads = _Recent(lambda cut_id: bundle.open_head(cut_id, options))
        self._tails = _Recent(lambda cut_id: bundle.open_tail(cut_id, options))
        self._turn = threading.Lock()

    def warm(self, cut_id: str) -> None:
        """Load the head of a cut, so that its first frame does not wait for it."""
        with self._turn:
            self._heads.get(cut_id)

    def run_head(self, cut_id: str, inputs: Mapping[str, Array]) -> tuple[dict[str, Array], float]:
        """Return the frontier and the head's own outputs, and the seconds that computing them took."""
        with self._turn:
            return _timed(self._heads.get(cut_id), inputs)

    def run_tail(
        self, cut_id: str, frontier: Mapping[str, Array]
    ) -> tuple[dict[str, Array], float]:
        """Return the tail's outputs, computed here, and the seconds that it took."""
        with self._turn:
            return _timed(self._tails.get(cut_id), frontier)


class _Recent:
    """The stages that were used last. One that is running is the latest of all, and never let go."""

    def __init__(self, load: Callable[[str], Stage]) -> None:
        self._load = load
        self._stages: dict[str, Stage] = {}

    def get(self, cut_id: str) -> Stage:
        """Return the stage of a cut, loaded if it has to be, after letting go of the oldest use."""
        stage = self._stages.pop(cut_id, None)
        if stage is None:
            while len(self._stages) >= KEPT:
                del self._stages[next(iter(self._stages))]
            stage = self._load(cut_id)
        self._stages[cut_id] = stage
        return stage


def _timed(stage: Stage, feeds: Mapping[str, Array]) -> tuple[dict[str, Array], float]:
    begun = perf_counter()
    values = stage.run(feeds)
    return values, perf_counter() - begun
