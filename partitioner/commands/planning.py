"""`splitpoint plan`."""

from pathlib import Path
from typing import Annotated

import typer

from partitioner.accuracy import DEFAULT_ACCURACY_DROP
from partitioner.commands.arguments import BundleArgument
from partitioner.console import JsonFlag, print_json, remark, screen


def plan(
    bundle: BundleArgument,
    bandwidth: Annotated[str, typer.Option(help="Uplink, as 10mbit, 1.5Mbit/s or 2MB/s.")],
    rtt: Annotated[str, typer.Option(help="Round-trip time, as 20ms.")],
    down: Annotated[str | None, typer.Option(help="Downlink; else that of the uplink.")] = None,
    codec: Annotated[str | None, typer.Option(help="Only options with this codec.")] = None,
    accuracy_drop: Annotated[
        float | None,
        typer.Option(
            help="Only options measured to lose no more percentage points than this: of accuracy where "
            "calibrate had labels, else of agreement with the whole model.",
            show_default=f"{DEFAULT_ACCURACY_DROP:g}, and image codecs though unmeasured",
        ),
    ] = None,
    edge: Annotated[
        Path | None, typer.Option(help="The edge's profile; else the bundle's own.")
    ] = None,
    cloud: Annotated[
        Path | None, typer.Option(help="The cloud's profile; else the bundle's own.")
    ] = None,
    edge_scale: Annotated[
        float,
        typer.Option(help="What if the edge took this many times as long? Scaled, not measured."),
    ] = 1.0,
    cloud_scale: Annotated[
        float | None,
        typer.Option(help="The same for the cloud; without a cloud profile, of the edge's times."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw bars per cut, and latency against bandwidth: FILE.png."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Price every cut on a link, and mark the best.

    Example: splitpoint plan resnet50 --bandwidth 10mbit --rtt 20ms --plot plan.png
    """
    from partitioner.bundle import Bundle
    from partitioner.link import Link
    from partitioner.planning import find_profiles
    from partitioner.planning import plan as make_plan
    from partitioner.plots import draw_plan
    from partitioner.tables import bound_text, plan_json, plan_table, scale_text, switches_text
    from partitioner.units import parse_duration, parse_rate

    uplink = parse_rate(bandwidth)
    link = Link(uplink, parse_rate(down) if down else uplink, parse_duration(rtt))
    loaded = Bundle.load(bundle)
    profiles = find_profiles(loaded, edge, cloud, edge_scale=edge_scale, cloud_scale=cloud_scale)
    made = make_plan(loaded, link, *profiles, codec=codec, accuracy_drop=accuracy_drop)
    if plot:
        draw_plan(made, plot)
    if as_json:
        print_json(plan_json(made))
        return
    screen.print(plan_table(made))
    screen.print(switches_text(made))
    if bound := bound_text(made):
        remark(bound)
    if caveat := scale_text(made):
        remark(f"Note: {caveat}")
    if plot:
        remark(f"Plot: {plot}")
