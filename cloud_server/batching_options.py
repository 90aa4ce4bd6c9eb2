"""Options of the batches in which a server computes requests; the words are those of Triton.

Light, so that `--help` can read it.
"""

from dataclasses import dataclass

from partitioner.settings.declaration import Options, option
from partitioner.settings.kinds import COUNTS, SWITCH, count, one_of
from partitioner.settings.panels import BATCHES

TIMEOUT_ACTIONS = ("reject", "delay")


def _at_least_none(found: int) -> bool:
    return found >= 0


@dataclass(frozen=True, kw_only=True)
class BatchingOptions(Options):
    """How requests wait and are computed together, where a bundle's serving.toml says nothing else."""

    max_batch_size: int = option(
        1,
        "Rows of several requests that are computed together; 1: each request alone.",
        count(),
        panel=BATCHES,
        holds=lambda rows: rows >= 1,
        wrong="a batch of {} rows computes nothing. Give 1 or more.",
    )
    preferred_batch_size: tuple[int, ...] = option(
        (),
        "Sizes at which a batch waits for no more.",
        COUNTS,
        panel=BATCHES,
        shown="the largest batch alone",
        holds=lambda sizes: all(size >= 1 for size in sizes),
        wrong="batches of {} rows cannot be preferred. Give sizes of 1 or more.",
    )
    max_queue_delay_us: int = option(
        0,
        "Microseconds that a request waits, at most, for others to be computed with.",
        count("US"),
        panel=BATCHES,
        holds=_at_least_none,
        wrong="a request cannot wait for {} us. Give 0 or more.",
    )
    priority_levels: int = option(
        0,
        "Levels that requests may ask for by the parameter 'priority'; 1 goes first. 0: there are none.",
        count(),
        panel=BATCHES,
        holds=_at_least_none,
        wrong="there cannot be {} levels. Give 0 or more.",
    )
    default_priority_level: int = option(
        0,
        "Level of requests that ask for none, or for one that there is not; 0: the lowest.",
        count(),
        panel=BATCHES,
        holds=_at_least_none,
        wrong="there is no level {}. Give 1 to `priority_levels`, or 0 for the lowest.",
    )
    timeout_action: str = option(
        "reject",
        "What becomes of requests that have waited for their timeout: refused, or put behind others.",
        one_of(*TIMEOUT_ACTIONS),
        panel=BATCHES,
        holds=lambda action: action in TIMEOUT_ACTIONS,
        wrong="{!r} is no timeout action. Give reject or delay.",
    )
    default_timeout_us: int = option(
        0,
        "Microseconds that a request may wait; 0: for ever.",
        count("US"),
        panel=BATCHES,
        holds=_at_least_none,
        wrong="a timeout of {} us is none. Give 0 or more.",
    )
    allow_timeout_override: bool = option(
        True,
        "Let requests ask for a shorter `timeout` of their own.",
        SWITCH,
        panel=BATCHES,
    )
    max_queue_size: int = option(
        0,
        "Requests of one model and level that may wait; more are refused. 0: as many as the server takes.",
        count(),
        panel=BATCHES,
        holds=_at_least_none,
        wrong="a queue of {} requests is none. Give 1 or more, or 0 for no limit.",
    )
