"""The race of the first greeting: servers are greeted side by side, those preferred a little earlier."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter

from edge_client.cloud.absence import ABSENCES
from edge_client.cloud.greeting import ServerInfo, greet
from edge_client.cloud.transport import GrpcTransport
from partitioner.bundle.bundle import Bundle
from protos.errors import SplitpointError
from protos.rpc.endpoints import Endpoint

CONNECT_S = 5.0
"""A first greeting that is not answered in so long has failed."""
_HEAD_START_S = 0.25
"""A server that is silent for so long gets company (RFC 8305, section 5)."""

Greet = Callable[[Endpoint], Awaitable[ServerInfo]]


async def greet_any(transport: GrpcTransport, bundle: Bundle) -> ServerInfo:
    """Greet the preferred server, or another that can be used, which `transport` then asks.

    Raises what the preferred one came to where none can be used; see greeting.greet.
    """
    servers = transport.servers
    await servers.look_up()
    if transport.endpoint not in servers:  # which is a name that stands for others
        await transport.switch_to(servers.after(transport.endpoint, perf_counter()))
    turn = [transport.endpoint]
    while len(turn) < len(servers):
        turn.append(servers.after(turn[-1], perf_counter()))

    async def greet_one(server: Endpoint) -> ServerInfo:
        if server == transport.endpoint:  # over the connection that frames will take
            return await greet(transport.channel, server, bundle, CONNECT_S)
        async with server.open_async(reconnects=False) as channel:
            return await greet(channel, server, bundle, CONNECT_S)

    server, info = await first_greeted(turn, greet_one)
    if server != transport.endpoint:
        await transport.switch_to(server)
    return info


async def first_greeted(
    servers: Sequence[Endpoint], greet_one: Greet, head_start_s: float = _HEAD_START_S
) -> tuple[Endpoint, ServerInfo]:
    """Return the first of `servers` that can be used, the preferred first, and what it has said.

    The next is greeted once those before have failed, or the last of them was silent for `head_start_s`.
    """
    waiting, failures = list(servers), dict[Endpoint, SplitpointError]()
    greeted: dict[asyncio.Future[ServerInfo], Endpoint] = {}
    try:
        while waiting or greeted:
            if waiting:
                server = waiting.pop(0)
                greeted[asyncio.ensure_future(greet_one(server))] = server
            patience_s = head_start_s if waiting else None
            await asyncio.wait(greeted, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            for done in [one for one in greeted if one.done()]:
                server = greeted.pop(done)
                try:
                    return server, done.result()
                except ABSENCES as error:
                    failures[server] = error
    finally:
        for greeting in greeted:
            greeting.cancel()
        await asyncio.gather(*greeted, return_exceptions=True)
    raise failures[servers[0]]
