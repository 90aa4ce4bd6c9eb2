"""The cloud's versions: what it offers this device, over a stream that is opened anew, and their files."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import grpc
import grpc.aio

from edge_client.cloud.transport import GrpcTransport
from edge_client.cloud.unary_call import ask
from edge_client.updates.offer import VersionOffer
from edge_client.updates.version_download import FilePart
from protos.errors import MismatchError, SplitpointError, UnknownNameError
from protos.rpc.calls import translate
from protos.splitpoint_pb2 import (
    FetchPartRequest,
    FetchPartResponse,
    WatchVersionRequest,
    WatchVersionResponse,
)

SERVICE = "/splitpoint.v1.Updates/"
_PART_S = 30.0
"""A piece takes a tenth of a second where the link allows that; 8 KiB in this time are 2 kbit/s."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0
_OLD_SERVER_S = 600.0
"""A server that knows nothing of updates is asked again after so long: it may be another one by then."""


class CloudVersions:
    """Asks one server for the versions of one bundle. `edge`: what this device calls itself."""

    def __init__(
        self,
        transport: GrpcTransport,
        edge: str,
        name: str,
        running: Callable[[], str],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._transport = transport
        self._edge = edge
        self._name = name
        self._running = running
        self._sleep = sleep

    async def offers(self) -> AsyncIterator[VersionOffer | None]:
        """Yield what this device is to run, for ever; None: it is to go on with its own version.

        A server that is away, or knows nothing of updates, is asked again after a while, quietly; another
        one that takes its place is asked at once.
        """
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                async for message in self._stream():
                    wait_s = _FIRST_WAIT_S
                    yield self._offer(message)
            except grpc.aio.AioRpcError as failure:
                if failure.code() is grpc.StatusCode.UNIMPLEMENTED:
                    wait_s = _OLD_SERVER_S
            except (grpc.aio.UsageError, SplitpointError):
                pass  # the connection was closed, to be made anew
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is None or task.cancelling():
                    raise  # else the channel was closed under the call
            moved = await self._pause(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - a fleet spreads
            wait_s = _FIRST_WAIT_S if moved else min(2 * wait_s, _LONGEST_WAIT_S)

    async def _pause(self, seconds: float) -> bool:
        """Wait for so long, or until another server is in use: then return True."""
        moved = asyncio.ensure_future(self._transport.servers.until_another())
        slept = asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait((moved, slept), return_when=asyncio.FIRST_COMPLETED)
            if slept.done():
                slept.result()
            return moved.done()
        finally:
            moved.cancel()
            slept.cancel()

    async def fetch(self, digest: str, path: str, offset: int, most_bytes: int) -> FilePart:
        """Return some bytes of a file; raises NetworkError, or what the server refuses it with.

        MismatchError where it does not have this version: another server of the cloud may have it.
        """
        server = self._transport.endpoint
        request = FetchPartRequest(
            name=self._name,
            version_digest=digest,
            path=path,
            offset=offset,
            most_bytes=most_bytes,
        )
        channel = self._transport.channel
        try:
            answer = await ask(
                channel, server, "FetchPart", request, FetchPartResponse, _PART_S, SERVICE
            )
        except grpc.aio.AioRpcError as failure:
            error = translate(failure, server)
            if isinstance(error, UnknownNameError):
                raise MismatchError(str(error)) from failure
            raise error from failure
        return FilePart(answer.chunk, answer.file_bytes)

    async def _stream(self) -> AsyncIterator[WatchVersionResponse]:
        request = WatchVersionRequest(
            edge=self._edge, name=self._name, version_digest=self._running()
        )
        call = self._transport.channel.unary_stream(
            f"{SERVICE}WatchVersion",
            request_serializer=WatchVersionRequest.SerializeToString,
            response_deserializer=WatchVersionResponse.FromString,
        )(request)
        try:
            async for message in call:
                yield message
        finally:
            with suppress(grpc.aio.UsageError):
                call.cancel()

    def _offer(self, message: WatchVersionResponse) -> VersionOffer | None:
        if not message.version_digest:
            return None
        return VersionOffer(
            self._name,
            message.version_digest,
            message.bundle_digest,
            tuple(message.documents),
            message.size_bytes,
            message.release,
            message.reason,
            message.mark,
        )
