"""What `splitpoint-cloud cluster` does: it deploys, says where, and stays where the cluster is its own."""

import asyncio

from cloud_server.cli.settings import ClusterSettings
from cloud_server.cluster.deployment import LOCAL, Place, connected, deploy
from partitioner.common.event_loop import stop_event
from partitioner.terminal import console
from partitioner.terminal.logs import logs_as_set_up


def run_cluster(settings: ClusterSettings, *, as_json: bool) -> None:
    """Deploy, and say where tails are served; with a cluster of its own, serve until told to stop."""
    place = Place(
        cluster=settings.ray, port=settings.port, http=settings.http, ready_s=settings.ready_s
    )
    with connected(place.cluster):
        addresses = deploy(settings.tails, place, logs_as_set_up())
        if as_json:
            console.print_json({"event": "ready", "addresses": addresses}, indent=None)
        else:
            console.remark(f"serving on {', '.join(addresses)}{_how_long(place)}")
        if place.cluster == LOCAL:
            asyncio.run(_told_to_stop())


async def _told_to_stop() -> None:
    await stop_event().wait()


def _how_long(place: Place) -> str:
    return "; stop with Ctrl-C" if place.cluster == LOCAL else "; end it with: serve shutdown"
