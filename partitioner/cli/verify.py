"""`splitpoint verify`."""

import math
from pathlib import Path
from typing import Annotated

import typer

from partitioner.cli.flags.arguments import BundleArgument
from partitioner.cli.flags.keys import RequireSignature, TrustedKeys
from partitioner.cli.flags.runtime import RuntimeFlags
from partitioner.settings.panels import CHOICE, DATA
from partitioner.terminal.console import JsonFlag, print_json, progress, remark, screen
from partitioner.terminal.flags import flag
from protos.errors import UsageError

_INPUTS = 4
"""Of those that are given, or that came with the bundle."""
_DRAWS = 2


def verify(
    bundle: BundleArgument,
    runtime: RuntimeFlags,
    data: Annotated[
        Path | None,
        flag(
            f"Inputs: a folder of images, .npy or .npz; {_INPUTS} of them.",
            "INPUTS",
            panel=DATA,
            default="the bundle's samples, else random ones",
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        flag(
            "Largest difference allowed, relative to an output's largest value.",
            "SHARE",
            panel=CHOICE,
            default="what rounding explains: 1e-4 of float32, some 0.2 to 1 % of float16",
        ),
    ] = None,
    trusted_keys: TrustedKeys = None,
    require_signature: RequireSignature = False,
    as_json: JsonFlag = False,
) -> None:
    """Run head + tail against the whole model at every cut; exit status 1 if any differs or does not run.

    With --trusted-keys the bundle's signature is checked first, and nothing runs if it does not hold.

    Example: splitpoint verify resnet50 --trusted-keys keys/ --require-signature
    """
    import numpy as np

    from partitioner.bundle.bundle import Bundle
    from partitioner.bundle.verification import verify_bundle
    from partitioner.inputs.files import load_inputs
    from partitioner.profiles.samples import natural_feeds
    from partitioner.reports.bundle import checks_json, checks_table
    from partitioner.reports.signature import SeenSignature
    from partitioner.signatures.trust import Trust

    if tolerance is not None and not 0 <= tolerance < math.inf:
        raise UsageError(f"--tolerance {tolerance} can never be met. Give 0 or more, such as 1e-4.")
    trust = Trust(trusted_keys, require_signature)
    loaded = Bundle.load(bundle, check=trust.check)
    signature = SeenSignature.of(loaded, trust)
    rng = np.random.default_rng()
    if data:
        inputs = load_inputs(data, loaded.inputs, _INPUTS, remark)
    else:
        drawn = [dict(natural_feeds(loaded.inputs, rng)) for _ in range(_DRAWS)]
        inputs = loaded.samples()[:_INPUTS] or drawn
    with progress() as bar:
        task = bar.add_task("verifying", total=len(loaded.cuts))
        checks = verify_bundle(
            loaded,
            inputs,
            runtime.read(),
            tolerance,
            lambda cut, done, _: bar.update(task, completed=done, description=f"verifying {cut}"),
        )
    if as_json:
        print_json({**checks_json(checks), "signature": signature.to_dict()})
    else:
        remark(f"signed: {signature.text}")
        screen.print(checks_table(checks))
        for check in (one for one in checks if one.failure):
            remark(f"{check.cut}: {check.failure}")
    if not all(check.ok for check in checks):
        raise typer.Exit(1)
