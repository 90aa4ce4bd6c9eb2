"""`splitpoint simulate trace`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from partitioner.cli import arguments
from partitioner.cli.terms import (
    DeviceFlag,
    MinimizeFlag,
    PriceGbFlag,
    PriceWorkerHourFlag,
    RadioFlag,
    WeightsFlag,
)
from partitioner.common.defaults import DEFAULT_TIMEOUT_S, DEFAULT_WINDOW
from partitioner.common.files import check_target
from partitioner.terminal.console import JsonFlag, print_json, progress, remark, screen
from protos.errors import UsageError

if TYPE_CHECKING:
    from partitioner.bundle.bundle import Bundle
    from partitioner.network.link import Link
    from partitioner.planning.devices import Device
    from partitioner.planning.plan import Plan
    from partitioner.policy.settings import PolicySettings
    from partitioner.simulation.exit_draws import Exiting
    from partitioner.simulation.simulation import Simulation

_MOST_FRAMES = 1_000_000


def trace(
    bundle: arguments.BundleArgument,
    file: Annotated[
        Path,
        typer.Argument(
            help="The trace: `seconds Mbit/s` a line, Mahimahi's milliseconds, or CSV with a header.",
            show_default=False,
        ),
    ],
    rtt: Annotated[
        str, typer.Option(help="Round-trip time, as 50ms, where the trace does not say.")
    ],
    fps: Annotated[float, typer.Option(help="Frames a second; 0: as fast as they are taken.")] = 5,
    frames: Annotated[
        int | None, typer.Option(help="How many; else as many as come in the trace once.", min=1)
    ] = None,
    down: Annotated[
        str | None, typer.Option(help="Downlink, where the trace does not say; else as the uplink.")
    ] = None,
    window: Annotated[int, typer.Option(help="Frames at work at once.", min=1)] = DEFAULT_WINDOW,
    timeout: Annotated[
        str, typer.Option(help="Until an answer counts as lost.")
    ] = f"{DEFAULT_TIMEOUT_S:g}s",
    workers: Annotated[int, typer.Option(help="Cloud workers that serve this device.", min=1)] = 1,
    cloud_load: Annotated[
        float, typer.Option(help="The cloud takes this many times what the plan believes.")
    ] = 1.0,
    edge_load: Annotated[
        float, typer.Option(help="The device takes this many times what the plan believes.")
    ] = 1.0,
    deadline: Annotated[
        str | None, typer.Option(help="Count frames later than this; the adaptive policy heeds it.")
    ] = None,
    exit_threshold: Annotated[
        str,
        typer.Option(
            help="Exits answer early from this confidence: own, none, 0.9 …, or auto: own, and under the "
            "adaptive policy as high as --latency or --deadline allows."
        ),
    ] = "none",
    latency: Annotated[
        str | None,
        typer.Option(
            help="What a frame may be expected to take on average under the adaptive policy, as 100ms."
        ),
    ] = None,
    exit_floor: Annotated[
        float | None,
        typer.Option(
            help="For auto: agreement below which no threshold goes.",
            show_default="what the exits were trained for",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            help="Frames and their times are drawn; equal seeds give equal results.", min=0
        ),
    ] = 0,
    trace_format: Annotated[
        str | None, typer.Option(help="rates, mahimahi or csv; else found out.")
    ] = None,
    at_end: Annotated[
        str, typer.Option(help="After its end the trace does loop, or hold.")
    ] = "loop",
    every: Annotated[
        bool,
        typer.Option(
            "--all", help="Show every fixed option, also those that another beats on every stage."
        ),
    ] = False,
    codec: arguments.OnlyCodec = None,
    edge: arguments.EdgeProfile = None,
    cloud: arguments.CloudProfile = None,
    edge_scale: Annotated[
        float | None,
        typer.Option(
            help="What if the edge took this many times as long? 1 with a --device: the profile is of it."
        ),
    ] = None,
    cloud_scale: arguments.CloudScale = None,
    minimize: MinimizeFlag = "latency",
    weights: WeightsFlag = None,
    device: DeviceFlag = None,
    radio: RadioFlag = None,
    price_worker_hour: PriceWorkerHourFlag = None,
    price_gb: PriceGbFlag = None,
    csv: arguments.CsvFile = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw bandwidth, choices, latency and CDFs: FILE.png.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Send frames over a trace: every fixed option, the adaptive policy, and one that knows the future.

    The adaptive policy minimises what --minimize or --weights say, the one that knows the future the mean
    latency.

    Example: splitpoint simulate trace resnet50 tram.txt --rtt 50ms --fps 10 --plot tram.png
    """
    from partitioner.bundle.bundle import Bundle
    from partitioner.common.files import write_csv
    from partitioner.common.units import parse_duration, parse_rate
    from partitioner.network.link import Link
    from partitioner.network.trace import parse_at_end
    from partitioner.network.trace_files import parse_format, read_trace
    from partitioner.planning.objective import Objective
    from partitioner.planning.terms import Terms
    from partitioner.policy.settings import PolicySettings
    from partitioner.reports.plan import scale_text
    from partitioner.reports.trace_plot import draw_runs
    from partitioner.simulation.comparison import compare_policies
    from partitioner.simulation.pipeline import Setup
    from partitioner.simulation.simulation import FRAME_COLUMNS, Simulation

    check_target("--csv", csv)
    check_target("--plot", plot)
    _check_factors(fps=fps, cloud_load=cloud_load, edge_load=edge_load)
    link_trace = read_trace(file, parse_format(trace_format), parse_at_end(at_end))
    full = link_trace.filled(parse_duration(rtt), parse_rate(down) if down else None)
    period_s = 1 / fps if fps else 0.0
    setup = Setup(
        full,
        period_s,
        window,
        parse_duration(timeout),
        workers,
        seed,
        device_paced=deadline is not None,
    )
    count = frames or _frames_in(full.duration_s, fps)
    deadline_s = parse_duration(deadline) if deadline else None
    terms = Terms.named(
        device,
        radio,
        price_worker_hour=price_worker_hour,
        price_gb=price_gb,
        fps=fps or None,
        workers=workers,
    )
    settings = PolicySettings(
        objective=Objective.asked(minimize, weights),
        terms=terms,
        deadline_s=deadline_s,
        latency_s=parse_duration(latency) if latency else None,
        window=window,
    )
    loaded = Bundle.load(bundle)
    mean = full.uplink_bps.mean
    link = Link(mean, mean, parse_duration(rtt))
    scales = (edge_scale, cloud_scale)
    made = _plan(loaded, link, (edge, cloud), scales, terms.device, codec)
    exiting = _exiting(loaded, exit_threshold, settings, exit_floor, seed)
    with progress() as bar:
        task = bar.add_task("simulating", total=None)

        def show(policy: str, done: int, total: int) -> None:
            bar.update(task, description=policy, completed=done, total=total)

        loads = (edge_load, cloud_load)
        runs = compare_policies(
            made, setup, count, settings, loads,
            policies="all" if every else None, exiting=exiting, on_progress=show,
        )  # fmt: skip
    done = Simulation(made, setup, settings, tuple(runs))
    if csv:
        write_csv(csv, FRAME_COLUMNS, done.frame_rows())
    if plot:
        draw_runs(runs, setup, plot)
    if as_json:
        print_json(done.to_dict())
        return
    _show(done, every=every)
    if caveat := scale_text(made):
        remark(f"Note: {caveat}")
    for name, path in (("Frames", csv), ("Plot", plot)):
        if path:
            remark(f"{name}: {path}")


def _plan(
    bundle: "Bundle",
    link: "Link",
    profiles: tuple[Path | None, Path | None],
    scales: tuple[float | None, float | None],
    device: "Device | None",
    codec: str | None,
) -> "Plan":
    """Plan with what edge and cloud measured, scaled as asked, or the edge to a device."""
    from partitioner.planning.devices import scaled_to
    from partitioner.planning.plan import plan
    from partitioner.profiles.store import find_profiles

    edge_scale, cloud_scale = scales
    here, there = find_profiles(
        bundle,
        *profiles,
        edge_scale=1.0 if edge_scale is None else edge_scale,
        cloud_scale=cloud_scale,
    )
    if device and edge_scale is None:
        here = scaled_to(device, here, bundle.manifest.flops)
    return plan(bundle, link, here, there, codec=codec)


def _show(done: "Simulation", *, every: bool) -> None:
    from partitioner.reports.trace import choices_text, runs_table

    shown = done.runs if every else done.leading
    screen.print(runs_table(done, shown))
    screen.print(choices_text(done.runs))
    if len(shown) < len(done.runs):
        remark(
            f"{len(done.runs) - len(shown)} fixed options that came off worse are left out; see --all."
        )


def _exiting(
    bundle: "Bundle",
    threshold: str,
    settings: "PolicySettings",
    floor: float | None,
    seed: int,
) -> "Exiting | None":
    from partitioner.exits.ladder import ladder_for, own_rung, parse_threshold
    from partitioner.simulation.exit_draws import Exiting

    asked = parse_threshold(threshold)
    if floor is not None and (asked != "auto" or settings.limit_s is None):
        raise UsageError(
            "--exit-floor bounds a threshold that moves. Give --exit-threshold auto, and --latency or "
            "--deadline."
        )
    if asked is None:
        return None
    exits = bundle.known_exits()
    fixed = own_rung(exits, None if isinstance(asked, str) else asked)
    ladder = ladder_for(exits, asked, settings.deadline_s, settings.latency_s, floor)
    return Exiting(exits, ladder, fixed, seed)


def _check_factors(*, fps: float, **loads: float) -> None:
    if not 0 <= fps < float("inf"):
        raise UsageError(f"--fps {fps} has no meaning. Give a rate such as 10, or 0.")
    for name, load in loads.items():
        if not 0 < load < float("inf"):
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} {load} has no meaning. Give a factor above 0, such as 2.")


def _frames_in(duration_s: float, fps: float) -> int:
    if not fps:
        raise UsageError("--fps 0 has no end by itself. Say how many: --frames 500.")
    count = max(1, round(duration_s * fps))
    if count > _MOST_FRAMES:
        raise UsageError(
            f"{count} frames come in this trace at {fps:g} a second. Say how many of them: --frames 1000."
        )
    return count
