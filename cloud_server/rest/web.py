"""The HTTP listener: the application behind an address."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from cloud_server.rest.silent_connections import SILENT_S, leaving_silent
from cloud_server.rest.strangers import MOST_STRANGERS, Strangers, counting_strangers
from protos.errors import UsageError
from protos.rpc.addresses import open_listener

if TYPE_CHECKING:
    from cloud_server.server import CloudServer


@contextlib.asynccontextmanager
async def serve_web(
    server: "CloudServer",
    listen: str,
    silent_s: float = SILENT_S,
    most_strangers: int = MOST_STRANGERS,
) -> AsyncIterator[str]:
    """Serve the application on `listen` (HOST:PORT) within the block; gives the address bound.

    It speaks TLS by the server's own files, if there are any, and takes no more connections once the server
    drains, nor keeps one on which nothing is asked for within `silent_s`, nor more than `most_strangers` on
    which nobody was let in. Raises UsageError when the extra
    `cloud` is not installed, or the address cannot be used or is exposed.
    """
    try:
        import uvicorn

        from cloud_server.rest.app import create_app, open_gate
        from cloud_server.rest.client_certificates import telling_names
        from cloud_server.rest.device_gate import device_gate
    except ImportError as error:
        raise UsageError(
            f"`http` needs {error.name}. Install it with: pip install 'splitpoint[cloud]'."
        ) from error

    class Quiet(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            # The command handles signals itself, to drain.
            yield

    server.options.exposure.check(listen, "http")
    served, tls = server.served, server.tls
    config = uvicorn.Config(
        create_app(served, device_gate(server.gate) if server.gate else open_gate),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=math.ceil(server.options.drain_s),
    )
    config.load()
    protocol = leaving_silent(config.http_protocol_class, silent_s)
    config.http_protocol_class = counting_strangers(protocol, Strangers(most_strangers))
    if tls is not None:
        config.ssl = tls.context()
        config.http_protocol_class = telling_names(config.http_protocol_class)
    bound = open_listener(listen, "http")
    web = Quiet(config)
    serving = asyncio.create_task(web.serve(sockets=[bound]))
    host, port = bound.getsockname()[:2]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    server.options.exposure.announce(address)

    def end() -> None:
        web.should_exit = True

    try:
        with served.drain.listener(end):
            yield address
    finally:
        end()
        await serving
