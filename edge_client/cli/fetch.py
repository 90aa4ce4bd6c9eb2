"""The command `splitpoint-edge fetch`: a bundle copied from the server."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_client.cli.choices import Cloud, State
from partitioner.cli.flags.arguments import split_cuts
from partitioner.cli.flags.keys import RequireSignature, TrustedKeys
from partitioner.settings.panels import CHOICE, OUTPUT
from partitioner.terminal import console
from partitioner.terminal.connection_flags import secures_connections
from partitioner.terminal.flags import flag
from protos.errors import UsageError
from protos.security.channel_security import ChannelSecurity

if TYPE_CHECKING:
    from partitioner.bundle.bundle import Bundle


@secures_connections
def fetch(
    name: Annotated[str, typer.Argument(help="The bundle's name at the server.", metavar="NAME")],
    cloud: Cloud,
    security: ChannelSecurity,
    out: Annotated[Path, flag("The folder.", "BUNDLE", panel=OUTPUT)],
    version: Annotated[
        str | None,
        flag(
            "Its number, or its digest.",
            "VERSION",
            panel=CHOICE,
            default="the server's default",
        ),
    ] = None,
    heads_only: Annotated[
        bool,
        flag(
            "No tails, nor their weights: heads and exits alone.",
            None,
            "--heads-only",
            panel=CHOICE,
        ),
    ] = False,
    cuts: Annotated[
        str | None,
        flag(
            "With --heads-only: the heads of these, as cut-04,cut-07.",
            "CUTS",
            panel=CHOICE,
            default="all",
        ),
    ] = None,
    force: Annotated[
        bool,
        flag(
            "Replace the bundle that is there, with all that was measured of it.",
            None,
            "--force",
            panel=OUTPUT,
        ),
    ] = False,
    trusted_keys: TrustedKeys = None,
    require_signature: RequireSignature = False,
    state: State = None,
    json: console.JsonFlag = False,
) -> None:
    """Copy a bundle from the server, with its calibration and exits, checking every digest.

    With --heads-only it takes less of this device's disk, and frames that the cloud fails get the exit's
    answer, as nothing can finish them here. With --trusted-keys nothing is kept that is not signed as it
    came, or that is an older release than this device has run.

    Example: splitpoint-edge fetch digits --cloud 10.0.0.2:50051 --out digits --heads-only --cuts cut-04
    """
    from edge_client.cloud.download import fetch_bundle
    from partitioner.signatures.release_book import DeviceTrust
    from protos.rpc.endpoints import Endpoint

    if cuts and not heads_only:
        raise UsageError("--cuts says whose heads to fetch. Give --heads-only as well.")
    heads_of = split_cuts(cuts) if heads_only else None
    trust = DeviceTrust.of(trusted_keys, state, required=require_signature)
    with console.progress() as progress:
        bundle = fetch_bundle(
            Endpoint(cloud, security),
            name,
            out,
            _file_progress(progress),
            version=version or "",
            heads_of=heads_of,
            replace=force,
            check=trust.check,
        )
    if json:
        console.print_json(_fetched_json(bundle, out))
    else:
        console.screen.print(_fetched_text(bundle, out))


def _fetched_json(bundle: "Bundle", out: Path) -> dict[str, object]:
    return {
        "bundle": bundle.name,
        "digest": bundle.digest,
        "path": str(out),
        "size_bytes": bundle.size_bytes,
        "heads_only": bundle.heads_only,
        "cuts": list(bundle.cuts),
        "exits": list(bundle.exits.by_cut) if bundle.exits else [],
    }


def _fetched_text(bundle: "Bundle", out: Path) -> str:
    from partitioner.common.units import format_size

    size = format_size(bundle.size_bytes)
    held = f", heads of {', '.join(bundle.held.cuts)} only" if bundle.held else ""
    return f"{bundle.name} ({size}, digest {bundle.digest[:12]}…{held}) in {out}"


def _file_progress(progress: Any) -> Callable[[str, int, int], None]:
    tasks: dict[str, Any] = {}

    def show(path: str, done: int, total: int) -> None:
        if path not in tasks:
            tasks[path] = progress.add_task(path, total=total)
        progress.update(tasks[path], completed=done)

    return show
