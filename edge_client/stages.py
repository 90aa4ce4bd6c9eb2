"""The heads and tails on this device: loaded when they are first needed, run one at a time."""

import threading
from collections.abc import Mapping
from time import perf_counter

from partitioner.bundle import Bundle
from partitioner.sessions import RuntimeOptions, Stage
from protos.tensors import Array


class Stages:
    """The sessions of one bundle that this device holds. Safe to call from several threads.

    One stage runs at a time: on a small device two would only slow each other down.
    """

    def __init__(self, bundle: Bundle, options: RuntimeOptions) -> None:
        self.bundle = bundle
        self.options = options
        self._heads: dict[str, Stage] = {}
        self._tails: dict[str, Stage] = {}
        self._turn = threading.Lock()

    def warm(self, cut_id: str) -> None:
        """Load the head of a cut, so that its first frame does not wait for it."""
        with self._turn:
            self._head(cut_id)

    def run_head(self, cut_id: str, inputs: Mapping[str, Array]) -> tuple[dict[str, Array], float]:
        """Return the frontier and the head's own outputs, and the seconds that computing them took."""
        with self._turn:
            return _timed(self._head(cut_id), inputs)

    def run_tail(
        self, cut_id: str, frontier: Mapping[str, Array]
    ) -> tuple[dict[str, Array], float]:
        """Return the tail's outputs, computed here, and the seconds that it took."""
        with self._turn:
            stage = self._tails.get(cut_id)
            if stage is None:
                stage = self._tails[cut_id] = self.bundle.open_tail(cut_id, self.options)
            return _timed(stage, frontier)

    def _head(self, cut_id: str) -> Stage:
        stage = self._heads.get(cut_id)
        if stage is None:
            stage = self._heads[cut_id] = self.bundle.open_head(cut_id, self.options)
        return stage


def _timed(stage: Stage, feeds: Mapping[str, Array]) -> tuple[dict[str, Array], float]:
    begun = perf_counter()
    values = stage.run(feeds)
    return values, perf_counter() - begun
