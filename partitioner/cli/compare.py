"""`splitpoint compare`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from partitioner.cli.flags.arguments import AccuracyDrop, OnlyCodec
from partitioner.cli.flags.link import LinkFlags
from partitioner.cli.flags.profiles import ScaleFlags
from partitioner.cli.flags.terms import DeviceOption, DeviceThreads
from partitioner.common.defaults import DEFAULT_THREADS
from partitioner.terminal.console import JsonFlag, print_json, remark, screen
from partitioner.terminal.flags import READERS_TELL
from protos.errors import UsageError


def compare(
    bundles: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of bundles.", metavar="BUNDLE…", show_default=False, readable=READERS_TELL
        ),
    ],
    link: LinkFlags,
    scales: ScaleFlags,
    device: DeviceOption = None,
    threads: DeviceThreads = DEFAULT_THREADS,
    codec: OnlyCodec = None,
    accuracy_drop: AccuracyDrop = None,
    as_json: JsonFlag = False,
) -> None:
    """Plan several bundles on one link: which is fastest, and what that costs in accuracy.

    Import a model with another input, another width or fewer layers, profile each bundle, and see whether
    it helps. Accuracy is known where calibrate had labels.

    Example: splitpoint compare net-224 net-160 --link 10mbit,20ms --device raspberry-pi-4
    """
    from partitioner.bundle.bundle import Bundle
    from partitioner.devices.device import load_device
    from partitioner.planning.plan import plan
    from partitioner.reports.plans.comparison import (
        Compared,
        comparison_json,
        comparison_table,
        comparison_text,
    )
    from partitioner.reports.plans.plan import scale_notes

    if len(bundles) < 2:
        raise UsageError("there is nothing to compare with. Give two bundles or more.")
    asked = link.read()
    asked_for = load_device(device).with_threads(threads) if device else None
    target = asked_for if scales.edge_scale is None else None
    loaded = [Bundle.load(path) for path in bundles]
    profiles = scales.read_all(loaded, target)
    found = [
        Compared(label, plan(one, asked, *pair, codec=codec, accuracy_drop=accuracy_drop))
        for label, one, pair in zip(_labels(bundles), loaded, profiles, strict=True)
    ]
    if as_json:
        print_json(comparison_json(found, target))
        return
    screen.print(escape(comparison_text(found, target)))
    screen.print(comparison_table(found))
    for one in found:
        for note in scale_notes(one.plan):
            remark(f"{one.label}: {note}")


def _labels(bundles: Sequence[Path]) -> list[str]:
    """Return the folders' names, or their paths where two have the same name."""
    names = [path.absolute().name for path in bundles]
    return names if len(set(names)) == len(names) else [str(path) for path in bundles]
