"""`splitpoint simulate sweep`."""

from typing import Annotated

from partitioner.cli.flags.arguments import AccuracyDrop, BundleArgument, OnlyCodec
from partitioner.cli.flags.link import LinkFlags
from partitioner.cli.flags.output import RowsFlags
from partitioner.cli.flags.profiles import ProfileFiles
from partitioner.settings.panels import LOAD, PROFILES
from partitioner.terminal.console import print_json, remark, screen
from partitioner.terminal.flags import flag

_UPLINKS, _RTTS = "0.1mbit:100mbit:50", "5ms:200ms:10"
_USUAL = LinkFlags(bandwidth=_UPLINKS, rtt=_RTTS)


def sweep(
    bundle: BundleArgument,
    *,
    link: LinkFlags = _USUAL,
    cloud_load: Annotated[
        str,
        flag("The cloud takes so many times as long: values in the same way.", "RANGE", panel=LOAD),
    ] = "1",
    edge_scale: Annotated[
        str,
        flag(
            "The edge takes so many times as long: values in the same way.",
            "RANGE",
            panel=PROFILES,
        ),
    ] = "1",
    profiles: ProfileFiles,
    codec: OnlyCodec = None,
    accuracy_drop: AccuracyDrop = None,
    output: RowsFlags,
) -> None:
    """Find the best option on every link and under every load of a grid.

    The uplink and the round trip may each be a range, FROM:TO:STEPS in equal ratios, in --link as well:
    --link 0.1mbit:100mbit:50,20ms. The separate flags also take a list, as --rtt 5ms,20ms. A picture has
    bars, the best total of all, and a map.

    Example: splitpoint simulate sweep resnet50 --bandwidth 0.1mbit:100mbit:50 --edge-scale 1:16:5
    """
    from partitioner.bundle.bundle import Bundle
    from partitioner.common.files import write_csv
    from partitioner.network.link import Link
    from partitioner.planning.plan import plan as make_plan
    from partitioner.reports.plans.guesses import guess_notes, ranges_json
    from partitioner.reports.plans.plan import scale_notes
    from partitioner.reports.simulations.sweep import draw_sweep, sweep_table, sweep_text
    from partitioner.simulation.sweep import POINT_COLUMNS, parse_grid
    from partitioner.simulation.sweep import sweep as sweep_plan

    output.check()
    up, down, rtt = link.texts(_USUAL)
    grid = parse_grid(up or _UPLINKS, rtt or _RTTS, cloud_load, edge_scale, down)
    loaded = Bundle.load(bundle)
    uplink = grid.uplinks_bps[0]
    first = Link(uplink, grid.downlink_bps or uplink, grid.rtts_s[0])
    made = make_plan(
        loaded, first, *profiles.read(loaded), codec=codec, accuracy_drop=accuracy_drop
    )
    swept = sweep_plan(made, grid)
    if output.csv:
        write_csv(output.csv, POINT_COLUMNS, swept.point_rows())
    if output.plot:
        draw_sweep(swept, made, output.plot)
    if output.as_json:
        bundle_json = {"name": loaded.name, "digest": loaded.digest}
        ranges = ranges_json(made)
        print_json({"bundle": bundle_json, **swept.to_dict(), "not_measured": ranges}, indent=None)
        return
    screen.print(sweep_text(swept))
    screen.print(sweep_table(swept))
    for note in (*guess_notes(made), *scale_notes(made)):
        remark(f"Note: {note}")
    output.tell()
