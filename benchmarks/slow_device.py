"""A device that is slower than this machine, because it waits: its times can be measured as any other's."""

import time
from typing import Any, Self

from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import RuntimeOptions, Stage
from protos.tensors import Array

_LOOKS = 5
"""Runs of a new stage, of which the fastest is what it usually takes."""


class SlowStage(Stage):
    """A stage that waits after it has run, as if the machine were slower.

    It waits the same for every call: what single calls take longer on this machine, after a pause or beside
    others, is no property of the slower one, and must not be multiplied.
    """

    def __init__(self, stage: Stage, slowdown: float, usual_s: dict[str, float], name: str) -> None:
        super().__init__(None, stage.inputs, stage.outputs)
        self._stage, self._slowdown = stage, slowdown
        self._usual_s, self._name = usual_s, name

    def run(self, feeds: Any) -> dict[str, Array]:
        """Run the stage, then wait until it has taken about `slowdown` times as long."""
        if self._name not in self._usual_s:
            self._usual_s[self._name] = min(self._timed(feeds) for _ in range(_LOOKS))
        values = self._stage.run(feeds)
        time.sleep((self._slowdown - 1) * self._usual_s[self._name])
        return values

    def _timed(self, feeds: Any) -> float:
        begun = time.perf_counter()
        self._stage.run(feeds)
        return time.perf_counter() - begun


class SlowBundle(Bundle):
    """A bundle whose heads and tails run on a slower device; codecs run at full speed."""

    slowdown: float
    usual_s: dict[str, float]
    """Of each stage that has run, here and at full speed; kept, as a device is as slow tomorrow."""

    @classmethod
    def of(cls, bundle: Bundle, slowdown: float) -> Self:
        """Return the bundle on a device that takes `slowdown` times as long."""
        slow = cls(bundle.path, bundle.manifest, bundle.calibration)
        slow.slowdown, slow.usual_s = slowdown, {}
        return slow

    def open_head(self, cut_id: str, options: RuntimeOptions | None = None) -> Stage:
        """Open a head that takes as long as on the slower device."""
        stage = super().open_head(cut_id, options)
        return SlowStage(stage, self.slowdown, self.usual_s, f"head of {cut_id}")

    def open_tail(self, cut_id: str, options: RuntimeOptions | None = None) -> Stage:
        """Open a tail that takes as long as on the slower device."""
        stage = super().open_tail(cut_id, options)
        return SlowStage(stage, self.slowdown, self.usual_s, f"tail of {cut_id}")
