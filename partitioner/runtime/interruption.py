"""The end of a run whose outputs nobody wants any more, asked for from another thread."""

import threading
from typing import Any

from partitioner.runtime.silent_runtime import onnxruntime


class InterruptedRunError(Exception):
    """A run was ended before it had its outputs, as it was asked to."""


class Interruption:
    """Ends one run of a stage early: the runtime stops before the next operator, and waiting stops at once.

    What was asked before the run begins keeps it from beginning. The session runs the next feeds as if
    nothing had been.
    """

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._options: Any = onnxruntime.RunOptions()

    @property
    def run_options(self) -> Any:
        """What the runtime is to be given for the run."""
        return self._options

    @property
    def is_asked(self) -> bool:
        """True once the run is to end."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Let the run end. Does nothing once it has."""
        self._asked.set()
        self._options.terminate = True

    def sleep(self, seconds: float) -> None:
        """Sleep as a part of the run; InterruptedRunError as soon as it is to end."""
        if self._asked.wait(seconds):
            raise InterruptedRunError
