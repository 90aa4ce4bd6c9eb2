"""Flags that say on what terms options are priced, described once, and what they come to."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from partitioner.planning.terms import Terms

_PANEL, _CHOICE = "Terms", "Choice"

MinimizeFlag = Annotated[
    str,
    typer.Option(
        "--minimize",
        help="latency, p95, throughput (the slowest stage), energy, bytes or cost.",
        rich_help_panel=_CHOICE,
    ),
]
WeightsFlag = Annotated[
    str | None,
    typer.Option(
        "--weights",
        help="A weighted sum instead, as latency=1,energy=0.2,bytes=1e-6,cost=100: weights of a "
        "second, a joule, a byte, a unit of money.",
        rich_help_panel=_CHOICE,
    ),
]

DeviceFlag = Annotated[
    str | None,
    typer.Option(
        "--device",
        help="What the edge is: raspberry-pi-4, raspberry-pi-5, jetson-orin-nano, phone, laptop or "
        "FILE.toml. Gives its energy, and unless --edge-scale is there its speed: scaled, not measured.",
        rich_help_panel=_PANEL,
    ),
]
RadioFlag = Annotated[
    str | None,
    typer.Option(
        "--radio",
        help="lte, 5g, wifi or FILE.toml; else the device's own.",
        rich_help_panel=_PANEL,
    ),
]
FpsFlag = Annotated[
    float | None,
    typer.Option("--fps", help="Frames a second: for costs a month.", rich_help_panel=_PANEL),
]
SustainedFlag = Annotated[
    bool,
    typer.Option(
        "--sustained",
        help="After hours at --fps, as slow as heat makes the --device.",
        rich_help_panel=_PANEL,
    ),
]
WorkersFlag = Annotated[
    int, typer.Option("--workers", help="Cloud workers, for throughput.", rich_help_panel=_PANEL)
]
PriceWorkerHourFlag = Annotated[
    float | None,
    typer.Option(
        "--price-worker-hour",
        help="Money for an hour of a busy cloud worker.",
        rich_help_panel=_PANEL,
    ),
]
PriceGbFlag = Annotated[
    float | None,
    typer.Option(
        "--price-gb", help="Money for a GB (10^9 bytes), up or down.", rich_help_panel=_PANEL
    ),
]


def read_terms(
    device: str | None,
    radio: str | None,
    fps: float | None,
    sustained: bool,
    workers: int,
    price_worker_hour: float | None,
    price_gb: float | None,
) -> "Terms":
    """Return the terms that the flags describe; a device without --radio has its own."""
    from partitioner.planning.terms import Terms

    return Terms.named(
        device,
        radio,
        price_worker_hour=price_worker_hour,
        price_gb=price_gb,
        fps=fps,
        workers=workers,
        sustained=sustained,
    )
