"""The command `splitpoint-edge`. Each subcommand imports the heavy modules that it needs."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_client.cli.settings import PROGRAM, LocalServeSettings, RunSettings
from partitioner.cli.flags import choices
from partitioner.cli.flags.link import LinkFlags
from partitioner.common.memory import keep_freed_pages
from partitioner.settings.panels import CHOICE, LINK, OUTPUT, RELAY
from partitioner.terminal import console
from partitioner.terminal.app import new_app
from partitioner.terminal.flags import option
from partitioner.terminal.settings_flags import takes_settings
from protos.errors import UsageError

app = new_app(help="The edge side of Splitpoint: stream frames, serve programs, emulate links.")


Cloud = Annotated[str, option("The cloud server.", "HOST:PORT", "--cloud", panel=LINK)]

_CHOICES = {
    "codec": choices.codecs,
    "provider": choices.providers,
    "minimize": choices.metrics,
    "device": choices.devices,
    "radio": choices.radios,
}


@app.callback()
def _commands(_version: console.VersionFlag = False) -> None:
    """The edge side of Splitpoint: stream frames, serve programs, emulate links."""


@app.command()
@takes_settings(PROGRAM, RunSettings, **_CHOICES)
def run(settings: RunSettings, json: console.JsonFlag = False) -> None:
    """Stream frames through the split model: heads here, tails in the cloud.

    Every setting may also come from the environment, as SPLITPOINT_EDGE_CLOUD and so on, or from --config;
    docs/settings.md lists them. With --json, each frame is a line on stdout, and the summary the last one.

    Ends with status 0 when every frame was served, 7 when some were not, such as those that missed their
    deadline, and 1 when none was.

    Example: splitpoint-edge run --cloud 10.0.0.2:50051 --bundle digits --source frames/
    """
    keep_freed_pages()
    from edge_client.cli.run import run_source

    if status := run_source(settings, as_json=json):
        raise typer.Exit(status)


@app.command()
@takes_settings(PROGRAM, LocalServeSettings, **_CHOICES)
def serve(settings: LocalServeSettings, json: console.JsonFlag = False) -> None:
    """Offer the split model to programs on this device, as if it were here, until SIGTERM or Ctrl-C.

    They speak the Open Inference Protocol over gRPC (KServe's and Triton's); all share one stream to the
    cloud. The parameters of an answer say who served it, why, and how long each stage took. Settings may
    come from the environment or a file, as for run. With --json, a line on stdout says when it is ready,
    each frame is a line, and the summary the last one.

    Example: splitpoint-edge serve --cloud 10.0.0.2:50051 --bundle digits --listen 127.0.0.1:8001
    """
    keep_freed_pages()
    from edge_client.cli.serve import serve_model

    serve_model(settings, as_json=json)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="The bundle's name at the server.", metavar="NAME")],
    cloud: Cloud,
    out: Annotated[Path, option("The new folder.", "BUNDLE", panel=OUTPUT)],
    heads_only: Annotated[
        bool,
        option(
            "No tails, nor their weights: heads and exits alone.",
            None,
            "--heads-only",
            panel=CHOICE,
        ),
    ] = False,
    cuts: Annotated[
        str | None,
        option(
            "With --heads-only: the heads of these, as cut-04,cut-07.",
            "CUTS",
            panel=CHOICE,
            default="all",
        ),
    ] = None,
    json: console.JsonFlag = False,
) -> None:
    """Copy a bundle from the server, with its calibration and exits, checking every digest.

    With --heads-only it takes less of this device's disk, and frames that the cloud fails get the exit's
    answer, as nothing can finish them here.

    Example: splitpoint-edge fetch digits --cloud 10.0.0.2:50051 --out digits --heads-only --cuts cut-04
    """
    from edge_client.cloud.download import fetch_bundle
    from partitioner.common.units import format_size

    if cuts and not heads_only:
        raise UsageError("--cuts says whose heads to fetch. Give --heads-only as well.")
    heads_of = (cuts.split(",") if cuts else ()) if heads_only else None
    with console.progress() as progress:
        bundle = fetch_bundle(cloud, name, out, _file_progress(progress), heads_of=heads_of)
    if json:
        console.print_json(
            {
                "bundle": bundle.name,
                "digest": bundle.digest,
                "path": str(out),
                "size_bytes": bundle.size_bytes,
                "heads_only": bundle.heads_only,
                "cuts": list(bundle.cuts),
                "exits": list(bundle.exits.by_cut) if bundle.exits else [],
            }
        )
    else:
        held = f", heads of {', '.join(bundle.held.cuts)} only" if bundle.held else ""
        console.screen.print(
            f"{bundle.name} ({format_size(bundle.size_bytes)}, digest {bundle.digest[:12]}…{held}) in {out}"
        )


@app.command()
def probe(cloud: Cloud, json: console.JsonFlag = False) -> None:
    """Measure the link to the server: RTT and both bandwidths, in about two seconds.

    Example: splitpoint-edge probe --cloud 10.0.0.2:50051
    """
    from edge_client.cloud.link_measurement import measure_link, probing

    with console.working("measuring the link"), probing(cloud) as send:
        found = measure_link(send)
    if json:
        console.print_json(
            {
                "uplink_bps": found.link.uplink_bps,
                "downlink_bps": found.link.downlink_bps,
                "rtt_s": found.link.rtt_s,
                "rtt_min_s": found.rtt_min_s,
            }
        )
    else:
        console.screen.print(str(found.link))


@app.command()
def link(
    listen: Annotated[str, option("Take connections here.", "HOST:PORT", panel=RELAY)],
    to: Annotated[str, option("Pass them on to there.", "HOST:PORT", panel=RELAY)],
    rates: LinkFlags,
    trace: Annotated[
        Path | None,
        option(
            "A trace of the uplink: `seconds Mbit/s` a line, Mahimahi, or CSV.", "TRACE", panel=LINK
        ),
    ] = None,
    trace_end: Annotated[
        str,
        option(
            "At the trace's end: loop or hold.",
            "END",
            panel=LINK,
            choices=lambda: ("loop", "hold"),
        ),
    ] = "loop",
    blackout: Annotated[
        list[str] | None,
        option(
            "Nothing gets through, as 10s+5s; may be given several times.",
            "START+LENGTH",
            panel=LINK,
        ),
    ] = None,
    drop: Annotated[
        str | None, option("Reset all connections this often, as 30s.", "TIME", panel=LINK)
    ] = None,
    json: console.JsonFlag = False,
) -> None:
    """Be a slow link: a TCP relay with a rate and a round-trip time, until Ctrl-C or SIGTERM.

    A trace says the uplink; --rtt and --down, or --link, say what it does not, and without a rate the
    downlink has its highest. A black-out lets connections be and passes nothing, as a dead spot does.

    Example: splitpoint-edge link --listen 127.0.0.1:6000 --to 127.0.0.1:50051 --link 5mbit,40ms
    """
    import asyncio

    from edge_client.relay.player import fine_loop, relay_until_stopped
    from edge_client.relay.schedule import read_schedule

    up, down, rtt = rates.texts()
    schedule = read_schedule(up, down, rtt or "0ms", trace, trace_end, blackout or (), drop)

    def ready(address: str) -> None:
        if json:
            console.print_json({"listen": address, "to": to, "link": str(schedule)}, indent=None)
        else:
            console.remark(f"{address} leads to {to}: {schedule}")

    def changed(time_s: float, now: object) -> None:
        if json:
            console.print_json(
                {"time_s": round(time_s, 3), "link": str(now) if now else None}, indent=None
            )
        else:
            console.remark(f"{time_s:.1f} s: {now or 'nothing gets through'}")

    with asyncio.Runner(loop_factory=fine_loop) as runner:
        runner.run(relay_until_stopped(listen, to, schedule, ready, changed))


def _file_progress(progress: Any) -> Callable[[str, int, int], None]:
    tasks: dict[str, Any] = {}

    def show(path: str, done: int, total: int) -> None:
        if path not in tasks:
            tasks[path] = progress.add_task(path, total=total)
        progress.update(tasks[path], completed=done)

    return show


def main() -> None:
    """Run the command and exit."""
    console.run(app)
