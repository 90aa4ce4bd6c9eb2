"""The transport of requests: a connection to the server, and one long-lived stream over it."""

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

import grpc.aio

from edge_client.cloud.plain.infer_calls import InferCalls
from edge_client.cloud.reply import Reply
from edge_client.cloud.servers import Servers
from edge_client.cloud.stream import InferStream, PendingRequest
from partitioner.common.units import plural
from protos.errors import FaultError, LateError, TooLargeError, UnreachableError, UsageError
from protos.rpc.endpoints import Endpoint
from protos.rpc.message_limits import DEFAULT_MAX_MESSAGE_BYTES


def unheard(*_: object) -> None:
    """Do nothing when a message leaves, or an answer is late."""


class GrpcTransport:
    """Requests over one stream, which is opened by the first and, once broken, by the next one.

    A server without streams is asked by single calls, and so is a standard one whose stream does not answer.

    `server`: an address alone is asked in the clear. Of several servers one is asked at a time.
    """

    def __init__(
        self,
        server: str | Endpoint | Servers,
        *,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        silence_s: float = 10.0,
    ) -> None:
        self.servers = Servers.of(server)
        self._max_request_bytes = max_message_bytes
        self._max_message_bytes = max_message_bytes
        self._silence_s = silence_s
        self._greeted_plain: Endpoint | None = None
        self._streams = True
        self._left: list[InferStream] = []
        self._farewell: UnreachableError | None = None
        self._channel: grpc.aio.Channel | None = None
        self._stream: InferStream | InferCalls | None = None
        self._ended = False

    @property
    def endpoint(self) -> Endpoint:
        """The server that is asked."""
        return self.servers.current

    @property
    def address(self) -> str:
        """The address of that server."""
        return self.endpoint.address

    @property
    def channel(self) -> grpc.aio.Channel:
        """The connection, for calls beside the stream; connects when it is first used."""
        if self._ended:
            raise UsageError("the client was closed before this frame was done.")
        if self._channel is None:
            self._channel = self.endpoint.open_async(self._max_message_bytes)
        return self._channel

    @property
    def plain_server(self) -> Endpoint | None:
        """The server that is asked, if it is known to be a standard one.

        Some of these know no streams, or others than Triton's. They are sent no digests: what was not packed
        for one must not go there, as it would compute with the models that it has.
        """
        return self.endpoint if self._greeted_plain == self.endpoint else None

    def note_kind(self, *, is_plain: bool) -> None:
        """Take note of what kind of server the one in use is, by its greeting."""
        self._greeted_plain = self.endpoint if is_plain else None

    @property
    def is_busy(self) -> bool:
        """True while a request waits for its answer."""
        return self._stream is not None and self._stream.is_busy

    @property
    def on_the_way(self) -> tuple[int, float]:
        """The bytes of the requests that wait for their answers, and when the oldest was begun."""
        return (0, 0.0) if self._stream is None else self._stream.on_the_way

    @property
    def silent_s(self) -> float:
        """Seconds without a sign of the server while requests wait; 0 while none does."""
        return self._stream.silent_s if self._stream is not None and self.is_busy else 0.0

    def limit_requests(self, max_bytes: int) -> None:
        """Refuse larger requests from now on, before they cost the stream: the server's own limit."""
        self._max_request_bytes = max_bytes

    async def call(
        self,
        request_id: str,
        message: bytes,
        timeout_s: float,
        leaves: Callable[[], None] = unheard,
        late: Callable[[Reply], None] = unheard,
    ) -> Reply:
        """Send a ModelInferRequest and return its answer; `leaves` hears when it begins to leave.

        `late` hears an answer that comes after `timeout_s`, in the event loop.

        Raises TooLargeError for what the server would refuse, LateError after `timeout_s`, UnreachableError
        when the stream breaks, FaultError for an answer that makes no sense, and what the server answers.
        """
        if len(message) > self._max_request_bytes:
            raise TooLargeError(
                f"the request has {plural(len(message), 'byte')}, and the server at {self.address} takes "
                f"{self._max_request_bytes:,}. Use another cut or codec, or raise --max-message there."
            )
        begun_at, way = perf_counter(), self._way()
        try:
            return await self._ask(
                way, request_id, PendingRequest(message, leaves, late), timeout_s
            )
        except (FaultError, UnreachableError, LateError):
            left_s = timeout_s - (perf_counter() - begun_at)
            if not self._gives_up(way) or left_s <= 0:
                raise
        pending = PendingRequest(message, leaves, late)
        return await self._ask(self._way(), request_id, pending, left_s)

    def _way(self) -> InferStream | InferCalls:
        """Return what the next request is sent by."""
        if self._stream is None or self._stream.ended:
            self._farewell = None if self._stream is None else self._stream.farewell
            if self._stream is not None:
                self._leave_streams(self._stream)  # before those that it failed hear of it
            kind = InferStream if self._streams else InferCalls
            self._stream = kind(self.channel, self.endpoint)
        return self._stream

    def _gives_up(self, way: InferStream | InferCalls) -> bool:
        """Tell whether to ask by single calls instead of this way, whose request failed."""
        if self._stream is way:
            self._leave_streams(way)
        return way in self._left  # else it was closed, and another server may be asked by now

    def _leave_streams(self, way: InferStream | InferCalls) -> None:
        """Send by single calls from now on where this stream shows that the server knows no streams.

        A standard one may have them for something else: then its stream has never answered.
        """
        if not isinstance(way, InferStream) or way.has_answered:
            return
        if self.plain_server is not None or way.is_unknown:
            self._streams, self._stream = False, None
            self._left.append(way)  # others wait for it, too

    async def _ask(
        self,
        stream: InferStream | InferCalls,
        request_id: str,
        pending: PendingRequest,
        timeout_s: float,
    ) -> Reply:
        farewell, self._farewell = self._farewell, None
        try:
            reply = await stream.call(request_id, pending, timeout_s)
        except LateError:
            if stream is self._stream and stream.silent_s >= self._silence_s:
                await self.close()  # a black hole: only a new connection can find a way out
            raise
        except UnreachableError as error:
            if farewell is None:
                raise
            raise farewell from error  # between two frames: it does not refuse connections by chance
        return replace(reply, server=stream.address) if len(self.servers) > 1 else reply

    async def switch_to(self, server: Endpoint) -> None:
        """Ask this server from now on, over a new connection: what hangs in the old one hangs no longer."""
        self.servers.use(
            server
        )  # at once: who asks while the old one closes must not connect to it again
        await self.close()

    async def end(self) -> None:
        """Close for good: later calls raise UsageError."""
        self._ended = True
        await self.close()

    async def close(self) -> None:
        """Give up the connection; calls in flight fail, and the next one connects anew."""
        stream, self._stream = self._stream, None
        channel, self._channel = self._channel, None
        left, self._left, self._streams = self._left, [], True
        for each in left:
            await each.close()
        if stream is not None:
            await stream.close()
        if channel is not None:
            await channel.close()
