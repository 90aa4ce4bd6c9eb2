"""`splitpoint profile`."""

from pathlib import Path
from typing import Annotated

from partitioner.cli.flags.arguments import Budget, BundleArgument
from partitioner.cli.flags.runtime import RuntimeFlags
from partitioner.common.defaults import DEFAULT_BUDGET_S
from partitioner.common.files import check_target
from partitioner.settings.panels import DATA, OUTPUT, PROFILES
from partitioner.terminal.connection_flags import secures_connections
from partitioner.terminal.console import JsonFlag, print_json, progress, remark, screen
from partitioner.terminal.flags import flag
from protos.errors import UsageError
from protos.security.channel_security import ChannelSecurity


@secures_connections
def profile(
    bundle: BundleArgument,
    security: ChannelSecurity,
    runtime: RuntimeFlags,
    cloud: Annotated[
        str | None,
        flag("A splitpoint-cloud that measures its side too.", "HOST:PORT", panel=PROFILES),
    ] = None,
    data: Annotated[
        Path | None,
        flag("Real inputs, to measure codecs with: images, .npy or .npz.", "INPUTS", panel=DATA),
    ] = None,
    budget: Budget = f"{DEFAULT_BUDGET_S:g}s",
    out: Annotated[
        Path | None,
        flag(
            "Where this machine's profile goes.",
            "PROFILE.json",
            panel=OUTPUT,
            default="into the bundle",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure this machine: every head, tail and codec of a bundle; with --cloud, the server as well.

    Example: splitpoint profile resnet50 --cloud 10.0.0.5:50051
    """
    from partitioner.bundle.bundle import Bundle
    from partitioner.common.units import parse_duration
    from partitioner.inputs.files import load_inputs
    from partitioner.profiles.parts.cut_profiler import SIZED_SAMPLES
    from partitioner.profiles.profiler import measure_profile
    from partitioner.profiles.remote import measure_remote_profile
    from partitioner.profiles.store import (
        CLOUD_PROFILE,
        EDGE_PROFILE,
        profile_path,
        save_profile,
    )
    from partitioner.reports.profile import measurement_notes, profile_table, server_text
    from protos.rpc.endpoints import Endpoint

    loaded = Bundle.load(bundle)
    budget_s = parse_duration(budget)
    if budget_s <= 0:
        raise UsageError(f"--budget {budget} leaves no time to measure in. Give more, such as 10s.")
    target = out or profile_path(loaded, EDGE_PROFILE)
    check_target("--out" if out else "the profile", target, makes_folders=True)
    feeds = load_inputs(data, loaded.inputs, SIZED_SAMPLES, remark) if data else []
    measured = {}
    with progress() as bar:
        task = bar.add_task("edge", total=None)

        def show(stage: str, done: int, total: int) -> None:
            bar.update(
                task, completed=done, total=total or None, description=f"{role} {stage}".strip()
            )

        if cloud:
            role = "cloud"
            measured[role] = measure_remote_profile(
                Endpoint(cloud, security), loaded, budget_s, on_progress=show
            )
            save_profile(loaded, CLOUD_PROFILE, measured[role])
        role = "edge"
        measured[role] = measure_profile(loaded, runtime.read(), budget_s, feeds, show)
        save_profile(loaded, EDGE_PROFILE, measured[role], out)
    if as_json:
        print_json({role: found.model_dump(mode="json") for role, found in measured.items()})
    else:
        for role, found in sorted(measured.items(), reverse=True):
            screen.print(profile_table(found, role))
            for note in measurement_notes(found, role, budget_s):
                remark(note)
    if cloud and (gap := server_text(loaded, measured["cloud"], cloud)):
        remark(f"Note: {gap}.")
        return
    if as_json:
        return
    next_step = f"splitpoint plan {bundle} --link 10mbit,20ms"
    if not profile_path(loaded, CLOUD_PROFILE).exists():
        next_step = (
            f"measure the server: splitpoint profile {bundle} --cloud HOST:PORT"
            if loaded.heads_only
            else f"{next_step} --cloud-scale 0.2 (or measure the server first: --cloud HOST:PORT)"
        )
    remark(f"Next: {next_step}")
