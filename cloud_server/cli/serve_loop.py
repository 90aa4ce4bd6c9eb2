"""The command `splitpoint-cloud serve`: it starts a server, waits for a signal, and drains."""

import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import uvloop

from cloud_server.cli.settings import ServeSettings
from cloud_server.options import ServerOptions
from cloud_server.rest.web import serve_web
from cloud_server.server import CloudServer
from partitioner.bundle.contents import allow_more_files
from partitioner.common.event_loop import on_hangup, stop_event
from partitioner.common.memory import keep_freed_pages
from partitioner.common.units import format_duration, plural
from partitioner.terminal import console
from protos.names import EDGE

Ready = dict[str, Any]


def run_server(settings: ServeSettings, announce: Callable[[Ready], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends at once.

    SIGHUP looks at the bundles. `announce` gets the ready event: `address`, `http` (empty: off) and
    `bundles`, an entry a version.
    """
    keep_freed_pages()
    allow_more_files()  # connections take one each, too, and the usual limit is 1,024
    # A tenth of the overhead of a request less than with the loop of the standard library.
    uvloop.run(_serve(settings, announce))


def ready_sentence(ready: Ready) -> str:
    """Return the ready event as one line for people."""
    versions = Counter(entry["name"] for entry in ready["bundles"])
    cuts = {entry["name"]: len(entry["cuts"]) for entry in reversed(ready["bundles"])}
    bundles = ", ".join(
        f"{name} ({plural(cuts[name], 'cut')}{f', {count} versions' if count > 1 else ''})"
        for name, count in versions.items()
    )
    web = f", HTTP on {ready['http']}" if ready["http"] else ""
    return f"serving {bundles} on {ready['address']}{web}; stop with Ctrl-C"


async def _serve(settings: ServeSettings, announce: Callable[[Ready], None]) -> None:
    stop = stop_event()
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(CloudServer.of(settings.server))
        stack.enter_context(on_hangup(server.reload, "reloading the bundles"))
        http = ""
        if settings.http:
            http = await stack.enter_async_context(serve_web(server, settings.http))
        announce(_ready(server, http))
        await stop.wait()
        console.remark(_parting(settings.server))
        # Here, so that HTTP and gRPC drain side by side.
        await server.stop()


def _parting(options: ServerOptions) -> str:
    first = (
        f"not ready from now on, and serving for another {format_duration(options.drain_notice_s)}, then "
        if options.drain_notice_s
        else ""
    )
    return f"{first}draining for at most {format_duration(options.drain_s)}; again to end at once"


def _ready(server: CloudServer, http: str) -> Ready:
    bundles = [
        {
            "name": version.name,
            "version": version.number,
            "digest": version.bundle.digest,
            "cuts": [cut for cut in version.bundle.cuts if cut != EDGE],
        }
        for versions in server.store.versions.values()
        for version in versions
    ]
    return {"event": "ready", "address": server.address, "http": http, "bundles": bundles}
