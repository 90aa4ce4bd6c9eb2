"""The machine's pace at a moment: what a whole model takes, warm and in a row, on the cores of each side."""

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from statistics import median
from typing import NamedTuple

from partitioner.bundle.bundle import Bundle
from partitioner.profiles.timing import Repeat, repeat_call, undisturbed
from partitioner.runtime.sessions import RuntimeOptions
from protos.names import EDGE
from protos.tensors import Array

_REPEATS = 4
"""Of one look, behind a run that warms up."""
_LOOKS, _PAUSE_S = 8, 0.1
"""Before and behind a profile. Each comes after a pause, as those beside frames do: cores that have slept
take longer for a while than in a long row, which is no pace."""

Look = Callable[[int], list[Repeat]]


class Pace(NamedTuple):
    """Seconds of the whole model on the cores of the edge and of the server."""

    edge_s: float
    cloud_s: float

    def over(self, other: "Pace") -> "Pace":
        """Return how many times as long as in the other moment each side takes."""
        return Pace(self.edge_s / other.edge_s, self.cloud_s / other.cloud_s)


class Reference:
    """The whole model, loaded once for the cores of each side, to be timed when nothing else runs there."""

    def __init__(self, looks: Sequence[Look]) -> None:
        self._looks = looks

    def now(self) -> Pace:
        """Return what the model takes at this moment: the median of a few repeats."""
        edge_s, cloud_s = (
            median(repeat.seconds for repeat in look(_REPEATS)) for look in self._looks
        )
        return Pace(edge_s, cloud_s)

    def watch(self) -> tuple[list[Repeat], list[Repeat]]:
        """Return the repeats of many looks at each side, to be taken before and behind a profile."""
        edge, cloud = self._looks
        found: tuple[list[Repeat], list[Repeat]] = ([], [])
        for _ in range(_LOOKS):
            time.sleep(_PAUSE_S)
            for repeats, look in zip(found, (edge, cloud), strict=True):
                repeats.extend(look(_REPEATS))
        return found


def own_s(*watched: list[Repeat]) -> float:
    """Return what the model takes at the machine's own pace, which is what profiles estimate."""
    (seconds,) = undisturbed([[repeat for repeats in watched for repeat in repeats]])
    return median(seconds)


@contextmanager
def reference(
    bundle: Bundle, feeds: dict[str, Array], cores: Sequence[Collection[int]]
) -> Iterator[Reference]:
    """Load the whole model once for each set of cores, until the end of the block."""
    with ExitStack() as stack:
        yield Reference([stack.enter_context(_looking(bundle, feeds, each)) for each in cores])


@contextmanager
def _looking(bundle: Bundle, feeds: dict[str, Array], cores: Collection[int]) -> Iterator[Look]:
    run = partial(bundle.open_head(EDGE, RuntimeOptions()).run, feeds)
    # Affinity is of a thread: the one that is made here computes, as the runtime has no other.
    with ThreadPoolExecutor(1, initializer=partial(os.sched_setaffinity, 0, cores)) as thread:

        def look(repeats: int) -> list[Repeat]:
            return thread.submit(repeat_call, run, block_s=0.0, least=repeats).result()

        yield look
