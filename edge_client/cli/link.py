"""The command `splitpoint-edge link`: a relay that is a slow link."""

from pathlib import Path
from typing import Annotated

from partitioner.cli.flags.link import LinkFlags, TraceColumns
from partitioner.settings.panels import LINK, RELAY
from partitioner.terminal import console
from partitioner.terminal.flags import flag


def link(
    listen: Annotated[str, flag("Take connections here.", "HOST:PORT", panel=RELAY)],
    to: Annotated[str, flag("Pass them on to there.", "HOST:PORT", panel=RELAY)],
    rates: LinkFlags,
    trace: Annotated[
        Path | None,
        flag(
            "A trace of the uplink: `seconds Mbit/s` a line, Mahimahi, CSV, or a log.",
            "TRACE",
            panel=LINK,
        ),
    ] = None,
    columns: TraceColumns = None,
    at_end: Annotated[
        str,
        flag(
            "At the trace's end: loop or hold.",
            "END",
            panel=LINK,
            choices=lambda: ("loop", "hold"),
        ),
    ] = "loop",
    blackout: Annotated[
        list[str] | None,
        flag(
            "Nothing gets through, as 10s+5s; may be given several times.",
            "START+LENGTH",
            panel=LINK,
        ),
    ] = None,
    reset: Annotated[
        str | None, flag("Reset all connections this often, as 30s.", "TIME", panel=LINK)
    ] = None,
    json: console.JsonFlag = False,
) -> None:
    """Be a slow link: a TCP relay with a rate and a round-trip time, until Ctrl-C or SIGTERM.

    A trace says the uplink; --rtt and --down, or --link, say what it does not, and without a rate
    the downlink is as the uplink. A black-out lets connections be and passes nothing, as a dead spot does.

    Example: splitpoint-edge link --listen 127.0.0.1:6000 --to 127.0.0.1:50051 --link 5mbit,40ms
    """
    import asyncio

    from edge_client.relay.player import fine_loop, relay_until_stopped
    from edge_client.relay.schedule import read_schedule

    up, down, rtt = rates.texts()
    schedule = read_schedule(up, down, rtt or "0ms", trace, at_end, blackout or (), reset, columns)

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
