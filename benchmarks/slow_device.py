"""A device that is slower than this machine, because it waits: its times can be measured as any other's."""

import time
from typing import Any, Self

from partitioner.bundle import Bundle
from partitioner.sessions import RuntimeOptions, Stage
from protos.tensors import Array


class SlowStage(Stage):
    """A stage that waits after it has run, as if the machine were slower."""

    def __init__(self, stage: Stage, slowdown: float) -> None:
        super().__init__(None, stage.inputs, stage.outputs)
        self._stage, self._slowdown = stage, slowdown

    def run(self, feeds: Any) -> dict[str, Array]:
        """Run the stage, then wait until it has taken `slowdown` times as long."""
        begun = time.perf_counter()
        values = self._stage.run(feeds)
        time.sleep((self._slowdown - 1) * (time.perf_counter() - begun))
        return values


class SlowBundle(Bundle):
    """A bundle whose heads and tails run on a slower device; codecs run at full speed."""

    slowdown = 1.0

    @classmethod
    def of(cls, bundle: Bundle, slowdown: float) -> Self:
        """Return the bundle on a device that takes `slowdown` times as long."""
        slow = cls(bundle.path, bundle.manifest, bundle.calibration)
        slow.slowdown = slowdown
        return slow

    def open_head(self, cut_id: str, options: RuntimeOptions | None = None) -> Stage:
        """Open a head that takes as long as on the slower device."""
        return SlowStage(super().open_head(cut_id, options), self.slowdown)

    def open_tail(self, cut_id: str, options: RuntimeOptions | None = None) -> Stage:
        """Open a tail that takes as long as on the slower device."""
        return SlowStage(super().open_tail(cut_id, options), self.slowdown)
