"""A channel whose calls carry a bearer token, each of them, of either kind of gRPC."""

from collections.abc import Callable
from typing import Any, TypeVar

C = TypeVar("C")

_HEADER = "authorization"


class TokenChannel:
    """Adds a token to the calls of another channel.

    An interceptor would do as much, and puts a queue in front of every message of an asynchronous stream.
    """

    def __init__(self, channel: Any, token: str) -> None:
        self._channel = channel
        self._metadata = ((_HEADER, f"Bearer {token}"),)

    @classmethod
    def over(cls, channel: C, token: str) -> C:
        """Return a channel like `channel` whose calls carry the token; itself where that is empty."""
        return cls(channel, token) if token else channel  # type: ignore[return-value]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def unary_unary(self, *arguments: Any, **named: Any) -> Callable[..., Any]:
        """Return what calls such a method, as the other three do."""
        return self._carrying(self._channel.unary_unary(*arguments, **named))

    def unary_stream(self, *arguments: Any, **named: Any) -> Callable[..., Any]:
        return self._carrying(self._channel.unary_stream(*arguments, **named))

    def stream_unary(self, *arguments: Any, **named: Any) -> Callable[..., Any]:
        return self._carrying(self._channel.stream_unary(*arguments, **named))

    def stream_stream(self, *arguments: Any, **named: Any) -> Callable[..., Any]:
        return self._carrying(self._channel.stream_stream(*arguments, **named))

    def _carrying(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, metadata: Any = None, **named: Any) -> Any:
            return method(*arguments, metadata=(*(metadata or ()), *self._metadata), **named)

        return call

    def __enter__(self) -> "TokenChannel":
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    async def __aenter__(self) -> "TokenChannel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()
