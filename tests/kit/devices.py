"""Registered devices for tests, and calls that show their tokens."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc

from cloud_server.security.device_file import changing
from cloud_server.security.registered_device import Limits, RegisteredDevice
from cloud_server.security.registration import register
from cloud_server.security.tokens import Token

NOW = datetime(2020, 1, 1, 12, 0, tzinfo=UTC)
UNLIMITED = Limits()


def device_of(
    name: str,
    *roles: str,
    models: Sequence[str] = ("*",),
    limits: Limits = UNLIMITED,
    expires: datetime | None = None,
) -> tuple[RegisteredDevice, Token]:
    """A new device with a token, and that."""
    device, token = register(name, roles, models, limits, False, NOW, expires)
    if token is None:
        raise AssertionError("a device without a certificate has a token")
    return device, token


def certified(name: str, *roles: str) -> RegisteredDevice:
    """A new device that shows a certificate."""
    return register(name, roles, None, UNLIMITED, True, NOW, None)[0]


def put(path: Path, *devices: RegisteredDevice) -> None:
    """Write devices to a file, in the place of those of their names."""
    with changing(path) as file:
        for device in devices:
            file.put(device)


def enrol(path: Path, name: str, *roles: str, **more: Any) -> Token:
    """Write a new device to a file; its token."""
    device, token = device_of(name, *roles, **more)
    put(path, device)
    return token


class _WithToken(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[misc]
    grpc.UnaryStreamClientInterceptor,  # type: ignore[misc]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[misc]
    grpc.StreamStreamClientInterceptor,  # type: ignore[misc]
):
    def __init__(self, text: str) -> None:
        self._metadata = (("authorization", f"Bearer {text}"),)

    def _intercept(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(details._replace(metadata=self._metadata), request)

    intercept_unary_unary = intercept_unary_stream = _intercept
    intercept_stream_unary = intercept_stream_stream = _intercept


def showing(channel: grpc.Channel, token: Token | str) -> grpc.Channel:
    """The channel, such that every call shows a token."""
    text = token if isinstance(token, str) else token.text
    return grpc.intercept_channel(channel, _WithToken(text))
