"""`splitpoint export-heads`."""

from pathlib import Path
from typing import Annotated

from partitioner.cli.flags.arguments import BundleArgument, CutList, Force, split_cuts
from partitioner.settings.panels import OUTPUT
from partitioner.terminal.console import JsonFlag, print_json, remark, screen
from partitioner.terminal.flags import flag


def export_heads_command(
    bundle: BundleArgument,
    out: Annotated[Path, flag("The folder to make.", "BUNDLE", panel=OUTPUT)],
    cuts: CutList = None,
    force: Force = False,
    as_json: JsonFlag = False,
) -> None:
    """Make a head-only bundle for a device: no tails, and of the weights only what the heads read.

    It is the same bundle to the server, by its digest. On the device the cut `edge` does not exist, and
    frames that the cloud fails get the answer of an exit. A device that reaches the server makes the same
    with: splitpoint-edge fetch NAME --heads-only.

    Example: splitpoint export-heads resnet50 --cuts cut-04 --out device/resnet50
    """
    from partitioner.bundle.bundle import Bundle
    from partitioner.bundle.folder import found_beside, lost_text
    from partitioner.bundle.head_export import export_heads
    from partitioner.common.units import format_size

    whole = Bundle.load(bundle)
    before = found_beside(out)
    made = export_heads(whole, out, split_cuts(cuts), replace=force)
    if lost := lost_text(before, out):
        remark(f"Note: {lost}.")
    exits = [cut for cut in made.cuts if made.exit_at(cut)]
    if as_json:
        print_json(
            {
                "bundle": made.name,
                "digest": made.digest,
                "path": str(out),
                "size_bytes": made.size_bytes,
                "whole_bytes": whole.size_bytes,
                "cuts": list(made.cuts),
                "exits": exits,
            }
        )
        return
    screen.print(
        f"{made.name}: heads of {', '.join(made.held.cuts if made.held else ())} in {out}, "
        f"{format_size(made.size_bytes)} of {format_size(whole.size_bytes)}"
    )
    if not exits:
        remark("None of them has an exit: frames that the cloud fails will have no answer.")
