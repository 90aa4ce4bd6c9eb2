"""The flags that `run` and `serve` have in common. None: not given; the settings hold the defaults."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict, TypeVar, get_type_hints

import typer

from edge_client import defaults
from partitioner.common.defaults import DEFAULT_ACCURACY_DROP

_Command = TypeVar("_Command", bound=Callable[..., None])

_OBJECTIVE, _POWER = "Objective", "Power"


def flag(about: str, default: str = "", *names: str, panel: str | None = None) -> Any:
    """Return an option that is None when not given, and says what the settings then take."""
    return typer.Option(*names, help=about, show_default=default or False, rich_help_panel=panel)


class Shared(TypedDict):
    """What a command that is `sharing` takes as `**shared`: names as the settings have them."""

    cloud: Annotated[str | None, flag("HOST:PORT of the cloud server.")]
    bundle: Annotated[Path | None, flag("The bundle's folder.")]
    cut: Annotated[str | None, flag("A cut's id, cloud, edge, or auto.", defaults.CUT)]
    codec: Annotated[
        str | None,
        flag("raw, half, int8, q2 to q6, jpeg, webp, jpeg-90 …", "raw; with --cut auto: the best"),
    ]
    accuracy_drop: Annotated[
        float | None,
        flag("For auto: percentage points that an option may lose.", f"{DEFAULT_ACCURACY_DROP:g}"),
    ]
    link: Annotated[
        str | None, flag("For auto: 10mbit,20ms or UP/DOWN,RTT or measure.", defaults.LINK)
    ]
    window: Annotated[int | None, flag("Frames at work at the same time.", str(defaults.WINDOW))]
    output: Annotated[Path | None, flag("Write a JSON line a frame to this file.")]
    heartbeat: Annotated[Path | None, flag("Touch this file, for health checks.")]
    timeout: Annotated[str | None, flag("How long an answer may take.", f"{defaults.TIMEOUT_S:g}s")]
    deadline: Annotated[
        str | None, flag("From a frame to its result: 100ms, or none.", defaults.DEADLINE)
    ]
    adapt: Annotated[
        bool | None,
        flag("Move the cut as conditions change.", "with --cut auto", "--adapt/--no-adapt"),
    ]
    memory: Annotated[
        str | None,
        flag("What all loaded heads and tails may take, such as 500MB.", "the last 4 of each"),
    ]
    exit_threshold: Annotated[
        str | None,
        flag(
            "Exits answer early from this confidence: own, none, 0.9 …, or auto: as high as --latency or "
            "--deadline allows, else own.",
            defaults.EXIT_THRESHOLD,
        ),
    ]
    latency: Annotated[
        str | None,
        flag("What a frame may be expected to take on average: 100ms, or none.", defaults.DEADLINE),
    ]
    exit_floor: Annotated[
        float | None,
        flag(
            "For auto: agreement below which no threshold goes.", "what the exits were trained for"
        ),
    ]
    on_failure: Annotated[
        str | None,
        flag("Without an answer: finish the frame here, or fail it.", defaults.ON_FAILURE),
    ]
    threads: Annotated[int | None, flag("Intra-op threads of the runtime.", str(defaults.THREADS))]
    provider: Annotated[str | None, flag("Execution provider of the runtime.", defaults.PROVIDER)]
    name: Annotated[
        str | None, flag("What this edge calls itself in metrics and telemetry.", "the host's name")
    ]
    metrics: Annotated[str | None, flag("HOST:PORT of Prometheus metrics.", "off")]
    telemetry: Annotated[
        str | None,
        flag("Write and send what was observed this often, such as 10s.", defaults.TELEMETRY),
    ]
    minimize: Annotated[
        str | None,
        flag(
            "latency, p95, throughput (the slowest stage), energy, bytes or cost.",
            defaults.MINIMIZE,
            panel=_OBJECTIVE,
        ),
    ]
    weights: Annotated[
        str | None,
        flag("A weighted sum instead, as latency=1,energy=0.2,bytes=1e-6.", panel=_OBJECTIVE),
    ]
    device: Annotated[
        str | None,
        flag(
            "What this device is, for its energy: raspberry-pi-4, raspberry-pi-5, jetson-orin-nano, phone, "
            "laptop or FILE.toml.",
            panel=_OBJECTIVE,
        ),
    ]
    radio: Annotated[
        str | None, flag("lte, 5g, wifi or FILE.toml.", "the device's own", panel=_OBJECTIVE)
    ]
    price_worker_hour: Annotated[
        float | None, flag("Money for an hour of a busy cloud worker.", panel=_OBJECTIVE)
    ]
    price_gb: Annotated[
        float | None, flag("Money for a GB (10^9 bytes), up or down.", panel=_OBJECTIVE)
    ]
    power: Annotated[
        str | None,
        flag(
            "Rules for a low battery and heat: auto (those of docs/power.md), FILE.toml, FILE.json or none.",
            "none; auto with one of the next two",
            panel=_POWER,
        ),
    ]
    battery: Annotated[
        str | None,
        flag(
            "Where its level comes from: auto (the system), none, a file such as "
            "/sys/class/power_supply/BAT0, or a number such as 20%.",
            "the system, if it has one",
            panel=_POWER,
        ),
    ]
    temperature: Annotated[
        str | None,
        flag(
            "The same for degrees Celsius: auto, none, a file such as "
            "/sys/class/thermal/thermal_zone0/temp, or 70.",
            "the system, if it tells",
            panel=_POWER,
        ),
    ]


Config = Annotated[
    Path | None, flag("A TOML file of settings; flags and environment go before it.")
]


def sharing(command: _Command) -> _Command:
    """Give a command that takes `**shared` a flag for each field of Shared, before its own."""
    hints = get_type_hints(Shared, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    shared = [
        inspect.Parameter(name, keyword, default=None, annotation=hint)
        for name, hint in hints.items()
    ]
    own = [
        parameter.replace(kind=keyword)
        for parameter in inspect.signature(command, eval_str=True).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    signature = inspect.Signature([*shared, *own])
    command.__signature__ = signature  # type: ignore[attr-defined]  # inspect and typer read it
    return command
