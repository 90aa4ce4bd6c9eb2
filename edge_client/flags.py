"""The flags that `run` and `serve` have in common. None: not given; the settings hold the defaults."""

from pathlib import Path
from typing import Annotated, Any

import typer

from edge_client import defaults
from partitioner.defaults import DEFAULT_ACCURACY_DROP


def flag(about: str, default: str = "", *names: str) -> Any:
    """Return an option that is None when not given, and says what the settings then take."""
    return typer.Option(*names, help=about, show_default=default or False)


Cloud = Annotated[str | None, flag("HOST:PORT of the cloud server.")]
Bundle = Annotated[Path | None, flag("The bundle's folder.")]
Cut = Annotated[str | None, flag("A cut's id, cloud, edge, or auto.", defaults.CUT)]
Codec = Annotated[
    str | None,
    flag("raw, half, int8, q2 to q6, jpeg, webp, jpeg-90 …", "raw; with --cut auto: the best"),
]
AccuracyDrop = Annotated[
    float | None,
    flag("For auto: percentage points that an option may lose.", f"{DEFAULT_ACCURACY_DROP:g}"),
]
Link = Annotated[
    str | None, flag("For auto: 10mbit,20ms or UP/DOWN,RTT or measure.", defaults.LINK)
]
Window = Annotated[int | None, flag("Frames at work at the same time.", str(defaults.WINDOW))]
Output = Annotated[Path | None, flag("Write a JSON line a frame to this file.")]
Heartbeat = Annotated[Path | None, flag("Touch this file, for health checks.")]
Timeout = Annotated[str | None, flag("How long an answer may take.", f"{defaults.TIMEOUT_S:g}s")]
Deadline = Annotated[
    str | None, flag("From a frame to its result: 100ms, or none.", defaults.DEADLINE)
]
Adapt = Annotated[
    bool | None,
    flag("Move the cut as conditions change.", "with --cut auto", "--adapt/--no-adapt"),
]
Memory = Annotated[
    str | None,
    flag("What all loaded heads and tails may take, such as 500MB.", "the last 4 of each"),
]
ExitThreshold = Annotated[
    str | None,
    flag("Exits answer early from this confidence: auto, none, 0.9 …", defaults.EXIT_THRESHOLD),
]
OnFailure = Annotated[
    str | None, flag("Without an answer: finish the frame here, or fail it.", defaults.ON_FAILURE)
]
Threads = Annotated[int | None, flag("Intra-op threads of the runtime.", str(defaults.THREADS))]
Config = Annotated[
    Path | None, flag("A TOML file of settings; flags and environment go before it.")
]
Name = Annotated[
    str | None, flag("What this edge calls itself in metrics and telemetry.", "the host's name")
]
Metrics = Annotated[str | None, flag("HOST:PORT of Prometheus metrics.", "off")]
Telemetry = Annotated[
    str | None,
    flag("Write and send what was observed this often, such as 10s.", defaults.TELEMETRY),
]
