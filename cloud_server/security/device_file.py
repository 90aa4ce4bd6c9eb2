"""The file of registered devices: JSON, private, written whole, and by one command at a time."""

import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self

from pydantic import ValidationError, model_validator

from cloud_server.security.registered_device import RegisteredDevice
from partitioner.common.faults import first_fault
from partitioner.common.files import read_private, write_private
from partitioner.common.frozen_model import FrozenModel
from protos.errors import FileError, UsageError, plural, reason

WHAT = "file of devices"


class DeviceDocument(FrozenModel):
    """All registered devices of a server."""

    schema_version: Literal[1] = 1
    devices: tuple[RegisteredDevice, ...] = ()

    @model_validator(mode="after")
    def _each_is_one(self) -> Self:
        """No two devices have one name, whatever the case of its letters, and no two tokens one key."""
        for what, found in (
            ("name", [device.name.casefold() for device in self.devices]),
            ("key", [token.key for device in self.devices for token in device.tokens]),
        ):
            for one, count in Counter(found).items():
                if count > 1:
                    raise ValueError(f"the {what} {one} is there {plural(count, 'time')}")
        return self

    def find(self, name: str) -> RegisteredDevice | None:
        """Return the device of this name, in whatever case; None when there is none."""
        wanted = name.casefold()
        return next((one for one in self.devices if one.name.casefold() == wanted), None)

    def with_device(self, device: RegisteredDevice) -> "DeviceDocument":
        """Return the document with a device in the place of the one of its name, or at the end."""
        old = self.find(device.name)
        if old is None:
            return DeviceDocument(devices=(*self.devices, device))
        return DeviceDocument(devices=tuple(device if one is old else one for one in self.devices))


def read_devices(path: Path) -> DeviceDocument:
    """Return the devices in a file. Raises FileError unless it is private, readable and right."""
    try:
        return DeviceDocument.model_validate_json(read_private(path, WHAT))
    except ValidationError as error:
        raise FileError(
            f"the {WHAT} {path} is damaged: {first_fault(error)}. Put a copy back, or make the devices anew "
            "with: splitpoint-cloud devices create."
        ) from error


class DeviceFile:
    """A file that is being changed: `document` is what it holds, and `write` puts another in its place."""

    def __init__(self, path: Path, document: DeviceDocument) -> None:
        self._path = path
        self.document = document

    def find(self, name: str) -> RegisteredDevice:
        """Return the device of this name; UsageError lists those that there are."""
        found = self.document.find(name)
        if found is None:
            known = ", ".join(one.name for one in self.document.devices) or "none"
            raise UsageError(
                f"there is no device {name!r}. There are: {known}. Make one with: splitpoint-cloud "
                "devices create."
            )
        return found

    def check_free(self, name: str) -> None:
        """Raise UsageError when a device of this name is served."""
        found = self.document.find(name)
        if found is not None and found.revoked is None:
            raise UsageError(
                f"there is a device {found.name} already. Choose another name, give that one a new token "
                f"with: splitpoint-cloud devices rotate {found.name}, or revoke it first."
            )

    def put(self, device: RegisteredDevice) -> None:
        """Write the file with this device in the place of the one of its name, or at the end."""
        self.document = self.document.with_device(device)
        text = self.document.model_dump_json(indent=1, exclude_none=True)
        write_private(self._path, text.encode() + b"\n")


@contextmanager
def changing(path: Path) -> Iterator[DeviceFile]:
    """Yield a file of devices, empty where there is none yet, while no other command changes it."""
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise FileError(
            f"the {WHAT} {path} cannot be changed: {reason(error)}. Give a file in a folder that is there."
        ) from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield DeviceFile(path, read_devices(path) if path.exists() else DeviceDocument())
    finally:
        os.close(folder)
