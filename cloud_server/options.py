"""Every option of the server, declared once: CloudServer, the settings, the flags and the docs follow.

Light, so that `--help` can read it.
"""

import math
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cloud_server.defaults import ROLLOUTS_FILE
from cloud_server.engine_options import EngineOptions, at_least_one
from partitioner.settings.declaration import Options, option
from partitioner.settings.kinds import ADDRESS, FILE, SIZE, SWITCH, TIME, count, number_or_word
from partitioner.settings.listener_options import ListenerOptions
from partitioner.settings.panels import LIMITS, LINK, MODEL, RUNTIME, SECURITY

if TYPE_CHECKING:
    from protos.security.exposure import Exposure


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
        holds=at_least_one,
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
        holds=at_least_one,
        wrong="{} bytes a second let nothing through. Give 1 or more.",
    )


@dataclass(frozen=True)
class ServerOptions(DeviceOptions, EngineOptions, ListenerOptions):
    """The options of a server. Raises UsageError for values that cannot be, alone or together."""

    listen: str = option(
        "127.0.0.1:0", "Address of gRPC; port 0 is any free one.", ADDRESS, panel=LINK
    )
    _: KW_ONLY
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
    processes: int = option(
        1,
        "Processes that share the port of gRPC, for more cores than one interpreter can use. Workers, memory "
        "and queue-memory are divided among them.",
        count(),
        panel=RUNTIME,
        holds=at_least_one,
        wrong="{} processes serve nobody. Give 1 or more.",
    )
    stream_window: int = option(
        32,
        "Requests of one stream that are in the server at the same time.",
        count(),
        panel=LIMITS,
        holds=at_least_one,
        wrong="a stream window of {} requests lets none through. Give 1 or more.",
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
