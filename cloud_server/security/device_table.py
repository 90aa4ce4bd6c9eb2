"""Registered devices as a table, a sentence and JSON; neither tokens nor their digests are in them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.table import Table

from cloud_server.security.registered_device import RegisteredDevice, TokenRecord
from partitioner.common.units import format_size


def device_json(device: RegisteredDevice, now: datetime) -> dict[str, Any]:
    """Return a device as plain data."""
    return {
        "name": device.name,
        "state": _state(device),
        "roles": [role.value for role in device.roles],
        "models": list(device.models),
        "limits": device.limits.model_dump(exclude_none=True),
        "certificate": device.certificate,
        "created": device.created.isoformat(),
        "tokens": [_token_json(token, now) for token in device.tokens],
    }


def device_sentence(device: RegisteredDevice, now: datetime) -> str:
    """Return what a device may do, and by what it is known."""
    if device.revoked:
        return f"device {device.name} is revoked"
    known = [f"token {token.key} ({token.state(now)})" for token in device.tokens]
    if device.certificate:
        known.append(f"a client certificate of the name {device.name}")
    return (
        f"device {device.name} may {', '.join(device.roles)} with {', '.join(device.models)}; it is known "
        f"by {' and '.join(known)}"
    )


def devices_table(devices: Sequence[RegisteredDevice], now: datetime) -> Table:
    """Return a table of devices, a row each."""
    table = Table("device", "state", "roles", "models", "limits", "known by")
    for device in devices:
        known = [f"{token.key} ({token.state(now)})" for token in device.tokens]
        table.add_row(
            device.name,
            _state(device),
            " ".join(device.roles),
            " ".join(device.models),
            _limits(device),
            "\n".join([*known, *["its certificate"] * device.certificate]),
        )
    return table


def _state(device: RegisteredDevice) -> str:
    return "revoked" if device.revoked else "served"


def _token_json(token: TokenRecord, now: datetime) -> dict[str, Any]:
    return {
        "key": token.key,
        "state": token.state(now),
        "created": token.created.isoformat(),
        "expires": token.expires.isoformat() if token.expires else None,
    }


def _limits(device: RegisteredDevice) -> str:
    limits = device.limits
    said = [
        f"{limits.streams:,} open" if limits.streams else "",
        f"{limits.requests_per_s:g} requests/s" if limits.requests_per_s else "",
        f"{format_size(limits.bytes_per_s)}/s" if limits.bytes_per_s else "",
    ]
    return "\n".join(filter(None, said)) or "defaults"
