"""Registration: devices as they are made, given another token, and revoked. Pure, but for the randomness."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from pydantic import ValidationError

from cloud_server.security.registered_device import (
    ALL_MODELS,
    NAME_PATTERN,
    Limits,
    RegisteredDevice,
    Role,
    TokenRecord,
)
from cloud_server.security.tokens import Token, new_token
from partitioner.common.faults import first_fault
from protos.errors import UsageError


def register(
    name: str,
    roles: Sequence[str],
    models: Sequence[str] | None,
    limits: Limits,
    certificate: bool,
    now: datetime,
    expires: datetime | None,
) -> tuple[RegisteredDevice, Token | None]:
    """Return a new device and its token, of which it keeps a digest; none where a certificate is shown.

    Raises UsageError for a name, a role or a model that cannot be.
    """
    if certificate and expires:
        raise UsageError(
            "a device that shows a certificate has no token that could expire. Leave out `expires`."
        )
    token = None if certificate else new_token()
    try:
        device = RegisteredDevice(
            name=name,
            roles=tuple(dict.fromkeys(map(_role, roles))),
            models=tuple(models or (ALL_MODELS,)),
            limits=limits,
            certificate=certificate,
            tokens=(_record(token, now, expires),) if token else (),
            created=now,
        )
    except ValidationError as error:
        raise UsageError(_advice(first_fault(error), name)) from error
    return device, token


def changed(
    device: RegisteredDevice,
    roles: Sequence[str] | None,
    models: Sequence[str] | None,
    limits: Limits,
) -> RegisteredDevice:
    """Return the device with these roles, models and limits instead; None: as they are.

    Raises UsageError as `register` does, and for a device that is revoked.
    """
    _need_served(device)
    new = device.model_dump()
    if roles is not None:
        new["roles"] = tuple(dict.fromkeys(map(_role, roles)))
    if models is not None:
        new["models"] = tuple(models)
    new["limits"] = device.limits.model_dump() | limits.model_dump(exclude_none=True)
    try:
        return RegisteredDevice.model_validate(new)
    except ValidationError as error:
        raise UsageError(_advice(first_fault(error), device.name)) from error


def lifted(device: RegisteredDevice, names: Iterable[str]) -> RegisteredDevice:
    """Return the device without its own limits of these names: what the server says holds."""
    limits = device.limits.model_copy(update=dict.fromkeys(names))
    return device.model_copy(update={"limits": limits})


def rotated(
    device: RegisteredDevice, now: datetime, until: datetime, expires: datetime | None
) -> tuple[RegisteredDevice, Token]:
    """Return the device with a new token, and that; its others are good until `until`, if they still are.

    Those that are good no more are forgotten. Raises UsageError for a device that is revoked, or has none.
    """
    _need_served(device)
    if device.certificate and not device.tokens:
        raise UsageError(
            f"device {device.name} shows a certificate and has no token. Give it a new certificate, or "
            "create it anew."
        )
    kept = tuple(
        old.model_copy(update={"expires": min(until, old.expires or until)})
        for old in device.tokens
        if old.state(now) == "valid" and until > now
    )
    token = new_token()
    tokens = (*kept, _record(token, now, expires))
    return device.model_copy(update={"tokens": tokens}), token


def revoked(device: RegisteredDevice, now: datetime) -> RegisteredDevice:
    """Return the device such that nobody lets it in. Once is enough: the time of the first stays."""
    return device if device.revoked else device.model_copy(update={"revoked": now})


def without_token(device: RegisteredDevice, key: str, now: datetime) -> RegisteredDevice:
    """Return the device with the token of this key revoked; UsageError names those that it has."""
    if key not in {token.key for token in device.tokens}:
        known = ", ".join(token.key for token in device.tokens) or "none"
        raise UsageError(f"device {device.name} has no token of the key {key!r}. It has: {known}.")
    tokens = tuple(
        token.model_copy(update={"revoked": token.revoked or now}) if token.key == key else token
        for token in device.tokens
    )
    return device.model_copy(update={"tokens": tokens})


def _need_served(device: RegisteredDevice) -> None:
    if device.revoked:
        raise UsageError(
            f"device {device.name} is revoked. Register it anew with: splitpoint-cloud devices create "
            f"{device.name}."
        )


def _record(token: Token, now: datetime, expires: datetime | None) -> TokenRecord:
    return TokenRecord(key=token.key, sha256=token.digest, created=now, expires=expires)


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise UsageError(f"{text!r} is no role. There are: {', '.join(Role)}.") from None


def _advice(fault: str, name: str) -> str:
    if fault.startswith("name"):
        return (
            f"{name!r} is no name for a device. Use 1 to 64 of the letters a to z and A to Z, digits, dots, "
            f"hyphens and underscores, beginning with a letter or a digit ({NAME_PATTERN})."
        )
    return f"{fault}. Write a model as its bundle is called, or with * and ? for letters: digits, cam-*."
