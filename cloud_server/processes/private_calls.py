"""The private sockets of a server's processes: who calls, and what front and replicas ask each other.

They lie in a folder that nobody else may enter, so that whoever reaches them is one of these processes.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from pydantic import TypeAdapter

from cloud_server.observability.book_sums import ToldBooks
from protos.rpc.channels import channel_options, server_options
from protos.serving.callers import CALLER
from protos.serving.handlers import unary_bytes
from protos.serving.refusals import Context

SERVICE = "splitpoint.private.Replica"
FOLLOW, OPEN, TELL, STOP = "Follow", "Open", "Tell", "Stop"
"""Offer these versions and no others; take connections at this port; tell the books; drain and end."""

FRONT_SOCKET = "front"
"""The name of the socket that replicas forward calls to."""
TOLD_BOOKS = TypeAdapter(ToldBooks)
"""How books are written and read."""

CALLER_KEY = "splitpoint-caller-bin"
"""Metadata of a forwarded call: the name of the device that the replica has let in."""

_CALLS_OF_A_REPLICA = 1 << 20
"""Those of all devices that are connected there come by one connection."""

Method = Callable[[bytes], Awaitable[bytes]]


@dataclass(frozen=True)
class Offer:
    """What the front offers: name and digest of each version that there is, and the bundles that are hidden.

    `revision`: the latest holds, in whatever order they arrive.
    """

    revision: int
    versions: tuple[tuple[str, str], ...] = ()
    hidden: tuple[str, ...] = ()


OFFER = TypeAdapter(Offer)


class TrustedCaller(grpc.aio.ServerInterceptor):
    """Takes the name of the caller from the process that forwards its call."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the handler of a call, which knows its caller."""
        for key, value in handler_call_details.invocation_metadata:
            if key == CALLER_KEY:
                CALLER.set(value if isinstance(value, str) else value.decode())
        return await continuation(handler_call_details)


def private_server(socket: Path, max_message_bytes: int) -> grpc.aio.Server:
    """Return a server that listens on a private socket once it is started."""
    options = dict(server_options(max_message_bytes))
    options["grpc.max_concurrent_streams"] = _CALLS_OF_A_REPLICA
    server = grpc.aio.server(interceptors=[TrustedCaller()], options=list(options.items()))
    server.add_insecure_port(f"unix:{socket}")
    return server


def private_channel(socket: Path, max_message_bytes: int) -> grpc.aio.Channel:
    """Return a channel to a private socket, which need not be there yet."""
    return grpc.aio.insecure_channel(f"unix:{socket}", options=channel_options(max_message_bytes))


def private_handlers(methods: Mapping[str, Method]) -> grpc.GenericRpcHandler:
    """Return the handlers of private methods, which take bytes and return bytes."""

    def handler(method: Method) -> Any:
        async def call(data: bytes, _context: Context) -> bytes:
            return await method(data)

        return unary_bytes(call)

    return grpc.method_handlers_generic_handler(
        SERVICE, {name: handler(method) for name, method in methods.items()}
    )
