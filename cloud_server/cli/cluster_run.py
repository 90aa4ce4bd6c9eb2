"""What `splitpoint-cloud cluster` does: it deploys, says where, and stays where the cluster is its own."""

import asyncio

from cloud_server.cli.settings import ClusterSettings
from cloud_server.cluster.deployment import (
    LOCAL,
    MOST_BYTES,
    Place,
    carries,
    connected,
    deploy,
    room_for,
)
from partitioner.common.event_loop import stop_event
from partitioner.terminal import console
from partitioner.terminal.logs import logs_as_set_up


def run_cluster(settings: ClusterSettings, *, as_json: bool) -> None:
    """Deploy, and say where tails are served; with a cluster of its own, serve until told to stop."""
    place = Place(
        cluster=settings.ray, port=settings.port, http=settings.http, ready_s=settings.ready_s
    )
    most_bytes = settings.tails.max_message_bytes
    with connected(place.cluster, most_bytes):
        addresses = deploy(settings.tails, place, logs_as_set_up())
        if as_json:
            console.print_json({"event": "ready", "addresses": addresses}, indent=None)
        else:
            console.remark(
                f"serving on {', '.join(addresses)}, and at port {place.port} of all other addresses of "
                f"these nodes{_how_long(place)}"
            )
        if short := [one for one in addresses if not carries(one, most_bytes)]:
            console.remark(
                f"Note: the proxies at {', '.join(short)} do not hand on requests of {most_bytes:,} B, "
                "which `max_message` allows, and edges finish larger frames themselves. Start Ray at every "
                f"node with {MOST_BYTES}={room_for(most_bytes)} in its environment, or lower `max_message`."
            )
        if place.cluster == LOCAL:
            asyncio.run(_told_to_stop())


async def _told_to_stop() -> None:
    await stop_event().wait()


def _how_long(place: Place) -> str:
    return "; stop with Ctrl-C" if place.cluster == LOCAL else "; end it with: serve shutdown"
