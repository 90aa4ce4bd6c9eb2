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
        "tokens": [_token_json(device, token, now) for token in device.tokens],
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
    table = Table("device", "state", "roles", "models", "limits")
    table.add_column("known by", no_wrap=True)  # whole, as revoke --token-key takes it
    for device in devices:
        known = [_token_line(device, token, now) for token in device.tokens]
        table.add_row(
            device.name,
            _state(device),
            " ".join(device.roles),
            " ".join(device.models),
            _limits(device),
            "\n".join([*known, *["its certificate"] * device.certificate]),
        )
    return table


def _token_line(device: RegisteredDevice, token: TokenRecord, now: datetime) -> str:
    state = _token_state(device, token, now)
    if state != "valid" or token.expires is None:
        return f"{token.key} ({state})"
    return f"{token.key}\n  until {token.expires:%Y-%m-%d %H:%M %Z}"


def _token_state(device: RegisteredDevice, token: TokenRecord, now: datetime) -> str:
    return "revoked" if device.revoked else token.state(now)


def _state(device: RegisteredDevice) -> str:
    return "revoked" if device.revoked else "served"


def _token_json(device: RegisteredDevice, token: TokenRecord, now: datetime) -> dict[str, Any]:
    return {
        "key": token.key,
        "state": _token_state(device, token, now),
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
