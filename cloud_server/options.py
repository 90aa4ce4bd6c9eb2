"""Every option of the server, declared once: CloudServer, the settings, the flags and the docs follow.

Light, so that `--help` can read it.
"""

import math
import os
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cloud_server.batching_options import BatchingOptions
from cloud_server.defaults import ROLLOUTS_FILE
from partitioner.common.defaults import DEFAULT_PROVIDER
from partitioner.settings.declaration import Options, about, option, worked_out
from partitioner.settings.kinds import (
    ADDRESS,
    FILE,
    FOLDER,
    NAMES,
    SIZE,
    SWITCH,
    TIME,
    count,
    number_or_word,
    words,
)
from partitioner.settings.listener_options import ListenerOptions
from partitioner.settings.panels import LIMITS, LINK, MODEL, RUNTIME, SECURITY
from partitioner.settings.serving_limits import ServingLimits
from partitioner.settings.signature_options import require_signature_option, trusted_keys_option
from partitioner.settings.threads import threads_option

if TYPE_CHECKING:
    from protos.security.exposure import Exposure


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _at_least_none(found: int) -> bool:
    return found >= 0


def _at_least_one(found: int) -> bool:
    return found >= 1


def _above_zero(found: float) -> bool:
    return found > 0


@dataclass(frozen=True, kw_only=True)
class DeviceOptions(Options):
    """Whom a server lets in, and how much each device may take that has no limits of its own."""

    devices: str | Path | None = option(
        None,
        "File of registered devices; nobody else is let in. See: splitpoint-cloud devices.",
        FILE,
        none="open",
        shown="open to all who reach it",
        panel=SECURITY,
    )
    device_streams: int = option(
        16,
        "Calls of one device that stay open at the same time; more are refused.",
        count(),
        panel=SECURITY,
        holds=_at_least_one,
        wrong="{} streams let no device in. Give 1 or more.",
    )
    device_requests_per_s: float | None = option(
        None,
        "Requests of one device in a second; more are refused.",
        number_or_word("N"),
        none="any",
        panel=SECURITY,
        holds=lambda rate: 0 < rate < math.inf,
        wrong="{:g} requests a second are no limit. Give more than 0, or any.",
    )
    device_bytes_per_s: int | None = option(
        None,
        "Bytes of one device's requests in a second, as 10MiB; more are refused.",
        SIZE,
        none="any",
        panel=SECURITY,
        holds=_at_least_one,
        wrong="{} bytes a second let nothing through. Give 1 or more.",
    )


@dataclass(frozen=True)
class ServerOptions(DeviceOptions, ServingLimits, ListenerOptions, BatchingOptions):
    """The options of a server. Raises UsageError for values that cannot be, alone or together."""

    bundles: str | Path = field(
        metadata=about("A folder of bundle folders, or one bundle.", FOLDER, panel=MODEL)
    )
    listen: str = option(
        "127.0.0.1:0", "Address of gRPC; port 0 is any free one.", ADDRESS, panel=LINK
    )
    _: KW_ONLY
    preload: tuple[str, ...] = option(
        (),
        "Cuts (of every bundle that has them) or models to load before the first request.",
        NAMES,
        panel=MODEL,
        shown="none",
    )
    watch: bool = option(
        False,
        "Look at the folder when it changes: versions come and go while it serves.",
        SWITCH,
        panel=MODEL,
    )
    rollouts: Path | None = option(
        None,
        "Where roll-outs are kept over restarts.",
        FILE,
        shown=f"{ROLLOUTS_FILE} beside the bundles",
        panel=MODEL,
    )
    workers: int = worked_out(
        available_cores,
        "Inferences that run at the same time, in all processes together.",
        count(),
        shown="one for each core",
        panel=RUNTIME,
        holds=_at_least_one,
        wrong="{} workers serve nobody. Give 1 or more.",
    )
    processes: int = option(
        1,
        "Processes that share the port of gRPC, for more cores than one interpreter can use. Workers, memory "
        "and queue-memory are divided among them.",
        count(),
        panel=RUNTIME,
        holds=_at_least_one,
        wrong="{} processes serve nobody. Give 1 or more.",
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
        holds=_at_least_one,
        wrong="a queue of {} bytes lets no request wait. Give 1 or more.",
    )
    stream_window: int = option(
        32,
        "Requests of one stream that are in the server at the same time.",
        count(),
        panel=LIMITS,
        holds=_at_least_one,
        wrong="a stream window of {} requests lets none through. Give 1 or more.",
    )
    max_decoded_bytes: int | None = option(
        None,
        "Requests whose coded inputs unfold to more are refused, unless it is one sample.",
        SIZE,
        none="message",
        shown="as the largest message",
        panel=LIMITS,
        holds=_at_least_one,
        wrong="a limit of {} bytes lets nothing through. Give 1 or more.",
    )
    max_sessions: int = option(
        32,
        "Tails kept in memory; the one not used for longest goes first.",
        count(),
        panel=LIMITS,
        holds=_at_least_one,
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
        holds=_at_least_one,
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
    drain_notice_s: float = option(
        0.0,
        "How long the server says that it is not ready, and serves on, before it drains: as long as "
        "balancers take to notice.",
        TIME,
        panel=LIMITS,
        holds=lambda seconds: seconds >= 0,
        wrong="a notice of {:g} s cannot be given. Give 0 or more.",
    )
    trusted_keys: str | Path | None = trusted_keys_option()
    require_signature: bool = require_signature_option()

    @property
    def authenticates(self) -> bool:
        """True where every caller has to show who it is."""
        return self.tls_client_ca is not None or self.devices is not None

    @property
    def exposure(self) -> "Exposure":
        """What secures its listeners, of gRPC and of HTTP."""
        from protos.security.exposure import Exposure

        remedy = "Give `tls_cert` and `tls_key`, or `devices`."
        return Exposure(self.tls is not None, self.authenticates, self.insecure, remedy)
