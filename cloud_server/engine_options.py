"""Options of an engine and of the models that it computes, wherever it runs.

Light, so that `--help` can read it.
"""

import os
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from cloud_server.batching_options import BatchingOptions
from partitioner.common.defaults import DEFAULT_PROVIDER
from partitioner.settings.declaration import about, option, worked_out
from partitioner.settings.kinds import FOLDER, NAMES, SIZE, TIME, count, words
from partitioner.settings.panels import LIMITS, MODEL, RUNTIME
from partitioner.settings.serving_limits import ServingLimits
from partitioner.settings.signature_options import require_signature_option, trusted_keys_option
from partitioner.settings.threads import threads_option


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _at_least_none(found: int) -> bool:
    return found >= 0


def at_least_one(found: float) -> bool:
    """Tell whether a number is 1 or more."""
    return found >= 1


def _above_zero(found: float) -> bool:
    return found > 0


@dataclass(frozen=True)
class EngineOptions(ServingLimits, BatchingOptions):
    """Which models are computed, by how many workers, and within what limits."""

    bundles: str | Path = field(
        metadata=about("A folder of bundle folders, or one bundle.", FOLDER, panel=MODEL)
    )
    _: KW_ONLY
    preload: tuple[str, ...] = option(
        (),
        "Cuts (of every bundle that has them) or models to load before the first request.",
        NAMES,
        panel=MODEL,
        shown="none",
    )
    workers: int = worked_out(
        available_cores,
        "Inferences that run at the same time, in all processes together.",
        count(),
        shown="one for each core",
        panel=RUNTIME,
        holds=at_least_one,
        wrong="{} workers serve nobody. Give 1 or more.",
    )
    threads: int = threads_option("Intra-op threads of one inference.")
    provider: str = option(
        DEFAULT_PROVIDER, "Execution provider of ONNX Runtime.", words("PROVIDER"), panel=RUNTIME
    )
    queue_wait_s: float = option(
        0.25,
        "How long a burst may wait for a worker, or 16 runs of it if those take longer; more requests are "
        "refused, and told when to come again.",
        TIME,
        panel=LIMITS,
        holds=_above_zero,
        wrong="a queue of {:g} s lets no request wait. Give more than 0.",
    )
    queue_memory_bytes: int = option(
        1 << 29,
        "Bytes of the requests that wait; once they are exceeded, more are refused.",
        SIZE,
        panel=LIMITS,
        holds=at_least_one,
        wrong="a queue of {} bytes lets no request wait. Give 1 or more.",
    )
    max_decoded_bytes: int | None = option(
        None,
        "Requests whose coded inputs unfold to more are refused, unless it is one sample.",
        SIZE,
        none="message",
        shown="as the largest message",
        panel=LIMITS,
        holds=at_least_one,
        wrong="a limit of {} bytes lets nothing through. Give 1 or more.",
    )
    max_sessions: int = option(
        32,
        "Tails kept in memory; the one not used for longest goes first.",
        count(),
        panel=LIMITS,
        holds=at_least_one,
        wrong="{} tails in memory serve nobody. Give 1 or more.",
    )
    memory_bytes: int | None = option(
        None,
        "What all loaded tails may take together (not of a GPU).",
        SIZE,
        none="none",
        written="as 2GiB",
        shown="any amount",
        panel=LIMITS,
        holds=at_least_one,
        wrong="{} bytes of memory hold no tail. Give 1 or more.",
    )
    own_sessions: int = option(
        2,
        "Tails of one bundle, those asked for most, that have a session of their own: some 15 % faster than "
        "the segments that the others share, and each with a copy of its weights.",
        count(),
        panel=LIMITS,
        holds=_at_least_none,
        wrong="{} is no number of sessions. Give 0 or more.",
    )
    trusted_keys: str | Path | None = trusted_keys_option()
    require_signature: bool = require_signature_option()
