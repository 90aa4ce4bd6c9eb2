"""`splitpoint simulate sweep`."""

from pathlib import Path
from typing import Annotated

import typer

from partitioner.cli import arguments
from partitioner.common.files import check_target
from partitioner.terminal.console import JsonFlag, print_json, remark, screen


def sweep(
    bundle: arguments.BundleArgument,
    bandwidth: Annotated[
        str, typer.Option(help="Uplinks: FROM:TO:STEPS in equal ratios, or a list with commas.")
    ] = "0.1mbit:100mbit:50",
    rtt: Annotated[str, typer.Option(help="Round-trip times, in the same way.")] = "5ms:200ms:10",
    cloud_load: Annotated[
        str, typer.Option(help="The cloud takes so many times as long, in the same way.")
    ] = "1",
    edge_scale: Annotated[
        str, typer.Option(help="The edge takes so many times as long, in the same way.")
    ] = "1",
    down: Annotated[str | None, typer.Option(help="Downlink; else that of the uplink.")] = None,
    codec: arguments.OnlyCodec = None,
    edge: arguments.EdgeProfile = None,
    cloud: arguments.CloudProfile = None,
    cloud_scale: arguments.CloudScale = None,
    csv: arguments.CsvFile = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw bars, the envelope and a map: FILE.png.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Find the best option on every link and under every load of a grid.

    Example: splitpoint simulate sweep resnet50 --bandwidth 0.1mbit:100mbit:50 --edge-scale 1:16:5
    """
    from partitioner.bundle.bundle import Bundle
    from partitioner.common.files import write_csv
    from partitioner.network.link import Link
    from partitioner.planning.plan import plan as make_plan
    from partitioner.profiles.store import find_profiles
    from partitioner.reports.plan import scale_text
    from partitioner.reports.sweep import draw_sweep, sweep_table
    from partitioner.simulation.sweep import POINT_COLUMNS, parse_grid
    from partitioner.simulation.sweep import sweep as sweep_plan

    check_target("--csv", csv)
    check_target("--plot", plot)
    grid = parse_grid(bandwidth, rtt, cloud_load, edge_scale, down)
    loaded = Bundle.load(bundle)
    profiles = find_profiles(loaded, edge, cloud, cloud_scale=cloud_scale)
    uplink = grid.uplinks_bps[0]
    made = make_plan(
        loaded, Link(uplink, grid.downlink_bps or uplink, grid.rtts_s[0]), *profiles, codec=codec
    )
    swept = sweep_plan(made, grid)
    if csv:
        write_csv(csv, POINT_COLUMNS, swept.point_rows())
    if plot:
        draw_sweep(swept, made, plot)
    if as_json:
        bundle_json = {"name": loaded.name, "digest": loaded.digest}
        print_json({"bundle": bundle_json, **swept.to_dict()}, indent=None)
        return
    screen.print(sweep_table(swept))
    if caveat := scale_text(made):
        remark(f"Note: {caveat}")
    for name, path in (("Points", csv), ("Plot", plot)):
        if path:
            remark(f"{name}: {path}")
