"""The commands `splitpoint-cloud devices …`: who may use a server, and what."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cloud_server.cli.device_flags import (
    ROLES,
    DeviceName,
    DevicesFile,
    Expires,
    LimitFlags,
    Models,
    TokenFile,
)
from partitioner.settings.panels import SECURITY
from partitioner.terminal import console
from partitioner.terminal.app import new_app
from partitioner.terminal.flags import flag
from protos.errors import UsageError

if TYPE_CHECKING:
    from cloud_server.security.registered_device import RegisteredDevice
    from cloud_server.security.tokens import Token

app = new_app(
    help="Say which devices may use a server, and for what. A running server follows the file within a "
    "second, also on streams that are open."
)


@app.command()
def create(
    name: DeviceName,
    devices: DevicesFile,
    role: Annotated[
        list[str],
        flag(
            "What it may do; may be repeated. None implies another.",
            "|".join(ROLES),
            panel=SECURITY,
            choices=lambda: ROLES,
        ),
    ],
    limits: LimitFlags,
    model: Models = None,
    certificate: Annotated[
        bool,
        flag("It shows a client certificate of this name; it gets no token.", None, panel=SECURITY),
    ] = False,
    expires: Expires = None,
    token_file: TokenFile = None,
    json: console.JsonFlag = False,
) -> None:
    """Register a device, and print its token once: the file keeps only a digest of it.

    A name has 1 to 64 letters, digits, dots, hyphens and underscores, and begins with a letter or digit.
    A revoked device of this name makes way.

    Example: splitpoint-cloud devices create cam-1 --devices devices.json --role infer --role telemetry
    """
    from cloud_server.security.device_file import changing
    from cloud_server.security.registration import register

    if certificate and token_file:
        raise UsageError(
            "a device that shows a certificate has no token to write. Leave out --token-file, or "
            "--certificate."
        )
    _check_token_file(token_file)
    now = _now()
    device, token = register(name, role, model, limits.read(), certificate, now, _end(expires, now))
    with changing(devices) as file:
        file.check_free(name)
        with _handed_over(token, token_file):
            file.put(device)
    _tell(device, token, token_file, json)


@app.command("list")
def list_devices(devices: DevicesFile, json: console.JsonFlag = False) -> None:
    """Show the devices, what they may do, and the state of their tokens.

    Example: splitpoint-cloud devices list --devices devices.json
    """
    from cloud_server.security.device_file import read_devices
    from cloud_server.security.device_table import device_json, devices_table

    found, now = read_devices(devices).devices, _now()
    if json:
        console.print_json([device_json(device, now) for device in found])
    elif not found:
        console.screen.print("no devices", markup=False)
    else:
        console.screen.print(devices_table(found, now))


@app.command()
def change(
    name: DeviceName,
    devices: DevicesFile,
    limits: LimitFlags,
    role: Annotated[
        list[str] | None,
        flag(
            "What it may do from now on, in place of what it could; may be repeated.",
            "|".join(ROLES),
            panel=SECURITY,
            default="as it is",
            choices=lambda: ROLES,
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        flag(
            "A model that it may use from now on, in place of those before. May be repeated.",
            "NAME",
            panel=SECURITY,
            default="as it is",
        ),
    ] = None,
    json: console.JsonFlag = False,
) -> None:
    """Change what a device may do, and how much; its token stays.

    Example: splitpoint-cloud devices change cam-1 --devices devices.json --role infer --role fetch
    """
    from cloud_server.security.device_file import changing
    from cloud_server.security.registration import changed, lifted

    with changing(devices) as file:
        device = changed(file.find(name), role or None, model or None, limits.read())
        device = lifted(device, limits.lifted)
        file.put(device)
    _tell(device, None, None, json)


@app.command()
def revoke(
    name: DeviceName,
    devices: DevicesFile,
    token: Annotated[
        str | None,
        flag(
            "The key of one of its tokens, which devices list shows.",
            "KEY",
            "--token-key",
            panel=SECURITY,
            default="all of the device",
        ),
    ] = None,
    json: console.JsonFlag = False,
) -> None:
    """Let a device in no more, or no more with one of its tokens. Its open streams end within a second.

    Example: splitpoint-cloud devices revoke cam-1 --devices devices.json
    """
    from cloud_server.security.device_file import changing
    from cloud_server.security.registration import revoked, without_token

    with changing(devices) as file:
        device = file.find(name)
        device = without_token(device, token, _now()) if token else revoked(device, _now())
        file.put(device)
    _tell(device, None, None, json)


@app.command()
def rotate(
    name: DeviceName,
    devices: DevicesFile,
    overlap: Annotated[
        str,
        flag("For how long the tokens from before stay good.", "TIME", panel=SECURITY),
    ] = "0s",
    expires: Expires = None,
    token_file: TokenFile = None,
    json: console.JsonFlag = False,
) -> None:
    """Give a device a new token in place of those that it has.

    Example: splitpoint-cloud devices rotate cam-1 --devices devices.json --overlap 1h
    """
    from cloud_server.security.device_file import changing
    from cloud_server.security.registration import rotated
    from partitioner.common.units import parse_duration

    _check_token_file(token_file)
    now = _now()
    until = now + timedelta(seconds=parse_duration(overlap))
    with changing(devices) as file:
        device, token = rotated(file.find(name), now, until, _end(expires, now))
        with _handed_over(token, token_file):
            file.put(device)
    _tell(device, token, token_file, json)


def _now() -> datetime:
    from datetime import UTC

    return datetime.now(UTC).replace(microsecond=0)


def _end(expires: str | None, now: datetime) -> datetime | None:
    from partitioner.common.units import parse_duration

    return None if expires is None else now + timedelta(seconds=parse_duration(expires))


def _check_token_file(path: Path | None) -> None:
    from partitioner.common.files import check_target

    check_target("the token", path)


@contextmanager
def _handed_over(token: "Token | None", path: Path | None) -> Iterator[None]:
    """Write the token before the file of devices, which the block does: no device is without its token.

    Where the block fails, the token is nobody's, and goes again.
    """
    from partitioner.common.files import write_private

    if token is None or path is None:
        yield
        return
    write_private(path, token.text.encode() + b"\n", replaces=False)
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _tell(
    device: "RegisteredDevice", token: "Token | None", path: Path | None, as_json: bool
) -> None:
    from cloud_server.security.device_table import device_json, device_sentence

    if as_json:
        shown = {"token": token.text} if token and not path else {}
        console.print_json({**device_json(device, _now()), **shown})
        return
    console.remark(device_sentence(device, _now()))
    if token and path:
        console.remark(f"its token is in {path}")
    elif token:
        console.remark("its token, which is shown this once:")
        console.screen.print(token.text, markup=False, soft_wrap=True)
