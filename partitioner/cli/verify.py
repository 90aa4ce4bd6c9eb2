"""`splitpoint verify`."""

import math
from pathlib import Path
from typing import Annotated

import typer

from partitioner.cli.flags.arguments import BundleArgument
from partitioner.cli.flags.runtime import RuntimeFlags
from partitioner.common.defaults import DEFAULT_TOLERANCE
from partitioner.settings.panels import CHOICE, DATA
from partitioner.terminal.console import JsonFlag, print_json, progress, screen
from partitioner.terminal.flags import flag
from protos.errors import UsageError


def verify(
    bundle: BundleArgument,
    runtime: RuntimeFlags,
    data: Annotated[
        Path | None,
        flag(
            "Inputs: a folder of images, .npy or .npz.", "INPUTS", panel=DATA, default="random ones"
        ),
    ] = None,
    tolerance: Annotated[
        float,
        flag(
            "Largest difference allowed, relative to an output's largest value.",
            "SHARE",
            panel=CHOICE,
        ),
    ] = DEFAULT_TOLERANCE,
    as_json: JsonFlag = False,
) -> None:
    """Run head + tail against the whole model at every cut; exit status 1 if any differs.

    Example: splitpoint verify resnet50 --json
    """
    import numpy as np

    from partitioner.bundle.bundle import Bundle
    from partitioner.bundle.verification import verify_bundle
    from partitioner.inputs.files import load_inputs
    from partitioner.profiles.samples import natural_feeds
    from partitioner.reports.bundle import checks_json, checks_table

    if not 0 <= tolerance < math.inf:
        raise UsageError(f"--tolerance {tolerance} can never be met. Give 0 or more, such as 1e-4.")
    loaded = Bundle.load(bundle)
    if data:
        feeds = load_inputs(data, loaded.inputs, limit=1)[0]
    else:
        feeds = dict(natural_feeds(loaded.inputs, np.random.default_rng()))
    with progress() as bar:
        task = bar.add_task("verifying", total=len(loaded.cuts))
        checks = verify_bundle(
            loaded,
            feeds,
            runtime.read(),
            tolerance,
            lambda cut, done, _: bar.update(task, completed=done, description=f"verifying {cut}"),
        )
    print_json(checks_json(checks)) if as_json else screen.print(checks_table(checks))
    if not all(check.ok for check in checks):
        raise typer.Exit(1)
