"""`splitpoint simulate fleet`."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from partitioner.cli import arguments
from partitioner.common.defaults import DEFAULT_WINDOW
from partitioner.common.files import check_target
from partitioner.terminal.console import JsonFlag, print_json, progress, remark, screen
from protos.errors import UsageError

if TYPE_CHECKING:
    from partitioner.network.link import Link
    from partitioner.network.trace import Trace
    from partitioner.reports.fleet import Bill
    from partitioner.simulation.fleet import Fleet, FleetRun

AUTO = "auto"


def fleet(
    bundle: arguments.BundleArgument,
    rtt: Annotated[
        str, typer.Option(help="Round-trip time, as 50ms, where the trace does not say.")
    ],
    bandwidth: Annotated[
        str | None, typer.Option(help="A constant uplink, as 20mbit, instead of a trace.")
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(help="The uplinks over time; each starts at a random moment of it."),
    ] = None,
    devices: Annotated[int, typer.Option(help="How many devices.", min=1)] = 100,
    fps: Annotated[float, typer.Option(help="Frames a second of each device.")] = 1.0,
    share: Annotated[int, typer.Option(help="Devices on each uplink.", min=1)] = 1,
    workers: Annotated[
        str, typer.Option(help="Workers of the cloud; auto: as few as --p99 allows.")
    ] = "1",
    p99: Annotated[str | None, typer.Option(help="With --workers auto: the p99 to keep.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="CUT/CODEC or edge; given several times, the devices take them in turn. Else the best of "
            "the plan on the mean share of an uplink."
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Frames that a worker takes at once.", min=1)] = 1,
    batch_cost: Annotated[
        float, typer.Option(help="A further frame in a batch takes this part of a frame alone.")
    ] = 1.0,
    duration: Annotated[str, typer.Option(help="Simulated time of a run.")] = "10min",
    runs: Annotated[int, typer.Option(help="Independent runs.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal results.", min=0)] = 0,
    deadline: Annotated[
        str | None,
        typer.Option(help="Count frames later than this; devices then take a frame when free."),
    ] = None,
    window: Annotated[
        int, typer.Option(help="Frames at work on a device.", min=1)
    ] = DEFAULT_WINDOW,
    down: Annotated[str | None, typer.Option(help="Downlink; else as the uplink.")] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="What the edges are, name or file: for their energy and, unless --edge-scale is there, "
            "their speed: scaled, not measured."
        ),
    ] = None,
    radio: Annotated[str | None, typer.Option(help="Its radio; else that of the device.")] = None,
    price_worker_hour: Annotated[float, typer.Option(help="Price of a worker's hour.")] = 0.0,
    price_gb: Annotated[float, typer.Option(help="Price of a GB of traffic.")] = 0.0,
    edge: arguments.EdgeProfile = None,
    cloud: arguments.CloudProfile = None,
    edge_scale: Annotated[
        float | None,
        typer.Option(
            help="What if the edges took this many times as long? 1 with a --device: the profile is of it."
        ),
    ] = None,
    cloud_scale: arguments.CloudScale = None,
    csv: arguments.CsvFile = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the latencies' distribution: FILE.png.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run many devices on shared uplinks and one cloud: latency, deadlines, load, energy and the bill.

    Example: splitpoint simulate fleet resnet50 --trace tram.txt --rtt 50ms --workers auto --p99 200ms
    """
    if find_spec("simpy") is None:
        raise UsageError("fleets need simpy. Install it with: pip install 'splitpoint[simulate]'.")
    from partitioner.bundle.bundle import Bundle
    from partitioner.common.files import write_csv
    from partitioner.common.units import parse_duration, parse_rate
    from partitioner.planning.devices import scaled_to
    from partitioner.planning.plan import plan as make_plan
    from partitioner.profiles.store import find_profiles
    from partitioner.reports.fleet import (
        draw_fleet,
        fleet_json,
        fleet_table,
        measures,
        run_rows,
        summarise,
    )
    from partitioner.reports.plan import scale_text
    from partitioner.simulation.demand import demands_of, pick
    from partitioner.simulation.fleet import Fleet

    if not 0 < fps < float("inf"):
        raise UsageError(f"--fps {fps} has no meaning. Give a rate above 0, such as 2.")
    check_target("--csv", csv)
    check_target("--plot", plot)
    rtt_s, down_bps = parse_duration(rtt), parse_rate(down) if down else None
    uplinks = _uplinks(bandwidth, trace, rtt_s, down_bps)
    bill = _bill(device, radio, price_worker_hour, price_gb)
    loaded = Bundle.load(bundle)
    scale = 1.0 if edge_scale is None else edge_scale
    here, there = find_profiles(loaded, edge, cloud, edge_scale=scale, cloud_scale=cloud_scale)
    if bill.device and edge_scale is None:
        here = scaled_to(bill.device, here, loaded.manifest.flops)
    plan = make_plan(loaded, _mean_link(uplinks, share), here, there)
    chosen = pick(demands_of(plan), option or [plan.best.label])
    asked = Fleet(
        tuple(chosen), uplinks, devices, 1 / fps, window, _worker_count(workers, p99), share,
        batch, batch_cost, parse_duration(duration), device_paced=deadline is not None,
    )  # fmt: skip
    p99_s = parse_duration(p99) if p99 else None
    deadline_s = parse_duration(deadline) if deadline else p99_s
    done = _simulate(asked, runs, seed, p99_s if workers == AUTO else None)
    each = [measures(run, deadline_s, bill) for run in done]
    if csv:
        write_csv(csv, ("run", *each[0]), run_rows(each))
    if plot:
        draw_fleet(done, deadline_s, plot)
    if as_json:
        bundle_json = {"name": loaded.name, "digest": loaded.digest}
        print_json({"bundle": bundle_json, **fleet_json(done, each, seed)})
        return
    screen.print(fleet_table(done, summarise(each)))
    if caveat := scale_text(plan):
        remark(f"Note: {caveat}")
    for name, path in (("Runs", csv), ("Plot", plot)):
        if path:
            remark(f"{name}: {path}")


def _uplinks(
    bandwidth: str | None, path: Path | None, rtt_s: float, down_bps: float | None
) -> "Trace":
    from partitioner.common.units import parse_rate
    from partitioner.network.link import Link
    from partitioner.network.trace import Trace
    from partitioner.network.trace_files import read_trace

    if (bandwidth is None) == (path is None):
        raise UsageError("a fleet needs uplinks: give either --bandwidth 20mbit or --trace FILE.")
    if path:
        return read_trace(path).filled(rtt_s, down_bps)
    rate_bps = parse_rate(bandwidth or "")
    return Trace.constant(Link(rate_bps, down_bps or rate_bps, rtt_s))


def _mean_link(uplinks: "Trace", share: int) -> "Link":
    """Return what one of `share` devices has of an uplink on average; answers have a downlink each."""
    from partitioner.network.link import Link

    up, down, rtt = uplinks.uplink_bps, uplinks.downlink_bps, uplinks.rtt_s
    return Link(up.mean / share, (down or up).mean, rtt.mean if rtt else 0.0)


def _worker_count(text: str, p99: str | None) -> int:
    if text == AUTO:
        if p99 is None:
            raise UsageError("--workers auto needs to know what for: --p99 200ms.")
        return 1
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise UsageError(f"--workers {text!r} is no number of workers. Give 1 or more, or auto.")
    return int(text)


def _bill(device: str | None, radio: str | None, worker_hour: float, gb: float) -> "Bill":
    from partitioner.planning.devices import load_device, load_radio
    from partitioner.planning.terms import Prices
    from partitioner.reports.fleet import Bill

    if radio and not device:
        raise UsageError("--radio needs the device that it is in: --device NAME.")
    prices = Prices(worker_hour, gb)
    loaded = load_device(device) if device else None
    return Bill(
        loaded,
        load_radio(radio or loaded.radio) if loaded else None,
        prices if prices != Prices() else None,
    )


def _simulate(asked: "Fleet", runs: int, seed: int, p99_s: float | None) -> "list[FleetRun]":
    """Run the fleet, first with as few workers as keep the p99 if one is given."""
    from partitioner.simulation.fleet import find_workers, run_fleet

    with progress() as bar:
        task = bar.add_task("simulating", total=None)

        def run_once(fleet: "Fleet", run: int, what: str) -> "FleetRun":
            bar.update(task, description=what, completed=0, total=round(fleet.duration_s))
            return run_fleet(fleet, seed, run, lambda now: bar.update(task, completed=round(now)))

        def p99_of(fleet: "Fleet") -> float:
            return run_once(fleet, 0, f"{fleet.workers} workers").latency_s(99)

        if p99_s is not None:
            asked = find_workers(asked, p99_s, p99_of)
        return [run_once(asked, run, f"run {run + 1} of {runs}") for run in range(runs)]
