"""The gate: who calls, whether it may, and how much; it follows the file of devices while it is open."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cloud_server.options import DeviceOptions
from cloud_server.security.credentials import Credentials
from cloud_server.security.device_file import WHAT, read_devices
from cloud_server.security.quotas import Quotas, SharedUse
from cloud_server.security.registered_device import Limits, RegisteredDevice
from cloud_server.security.registry import WHO_CALLS, Registry
from cloud_server.security.rules import Rule
from partitioner.common.event_loop import repeat
from protos.errors import DeniedError, FileError, SplitpointError, UnauthenticatedError
from protos.serving.bounded_log import BoundedLog
from protos.serving.callers import CALLER

LOOK_EVERY_S = 0.25
"""How often it looks whether the file has changed, and whether open calls may go on."""

_CHANGE = "Whoever runs the server can change that: splitpoint-cloud devices change."

_log = logging.getLogger(__name__)

_Stamp = tuple[int, ...]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class OpenCall:
    """A call that stays open, and ends when its device may not make it any more; `error` then says why."""

    def __init__(self, credentials: Credentials, rule: Rule, end: Callable[[], object]) -> None:
        self.credentials = credentials
        self.rule = rule
        self.error: SplitpointError | None = None
        self._end = end

    def close(self, error: SplitpointError) -> None:
        """End the call, once."""
        if self.error is None:
            self.error = error
            self._end()


class Gate:
    """Lets callers in by a file of devices. Made in any thread (it reads the file), used in one event loop.

    Raises FileError when the file is not private, damaged or missing. `now` tells the time of day, `clock`
    seconds that pass. `shared`: the use of a server's processes; None: there is one process.
    """

    def __init__(
        self,
        path: Path,
        defaults: Limits,
        now: Callable[[], datetime] = _utc_now,
        clock: Callable[[], float] = time.monotonic,
        shared: SharedUse | None = None,
    ) -> None:
        self._path = path
        self._now = now
        self._stamp = self._tried = _stamp_of(path)
        self._registry = Registry(read_devices(path))
        self._quotas = Quotas(defaults, clock, shared)
        self._open: set[OpenCall] = set()
        self._failures = BoundedLog(_log, clock=clock)

    def __repr__(self) -> str:
        return f"<Gate by {self._path}>"

    @property
    def takes_certificates(self) -> bool:
        """Whether some device is known by its client certificate."""
        return self._registry.takes_certificates

    def authenticate(self, credentials: Credentials) -> RegisteredDevice:
        """Return the device that shows these credentials; UnauthenticatedError when there is none."""
        return self._registry.authenticate(credentials, self._now())

    def authorize(self, device: RegisteredDevice, rule: Rule) -> None:
        """Raise DeniedError unless a device has a role that a rule asks for, and all models where it does."""
        if not rule.is_open and rule.roles and set(rule.roles).isdisjoint(device.roles):
            raise DeniedError(
                f"device {device.name} lacks the role {' or '.join(rule.roles)}, which this call asks for. "
                f"It has: {', '.join(device.roles) or 'none'}. {_CHANGE}"
            )
        if rule.is_of_all_models and not device.uses_all:
            raise DeniedError(
                f"this call is about all models, and device {device.name} may use "
                f"{', '.join(device.models)} alone. {_CHANGE}"
            )

    def admit(self, credentials: Credentials, rule: Rule) -> RegisteredDevice:
        """Return the device that shows these credentials, if it may do what the rule is for."""
        device = self.authenticate(credentials)
        self.authorize(device, rule)
        return device

    def caller(self) -> RegisteredDevice:
        """Return the device whose call this task serves; UnauthenticatedError when nobody was let in."""
        return self.device(CALLER.get())

    def device(self, name: str) -> RegisteredDevice:
        """Return the device of this name as the file has it now; UnauthenticatedError when it is gone."""
        found = self._registry.find(name)
        if found is None:
            raise UnauthenticatedError(f"device {name} is revoked." if name else WHO_CALLS)
        return found

    def charge(self, device: RegisteredDevice, size_bytes: int) -> None:
        """Count one request of a device; OverloadedError when that is more than it may take."""
        self._quotas.charge(device, size_bytes)

    def owe(self, name: str, size_bytes: int) -> None:
        """Count bytes that a request of a device has unfolded to, beyond those that it was charged."""
        device = self._registry.find(name)
        if device is not None:
            self._quotas.owe(device, size_bytes)

    async def pace(self, device: RegisteredDevice, size_bytes: int) -> None:
        """Wait until a device may download so many bytes more; who gives up waiting has not had them."""
        if (wait_s := self._quotas.charge_download(device, size_bytes)) > 0:
            try:
                await asyncio.sleep(wait_s)
            except asyncio.CancelledError:
                self._quotas.charge_download(device, -size_bytes)
                raise

    @contextmanager
    def open_call(
        self,
        device: RegisteredDevice,
        credentials: Credentials,
        rule: Rule,
        end: Callable[[], object],
    ) -> Iterator[OpenCall]:
        """Count a call that stays open; `end` is called if its device may not go on with it.

        Raises OverloadedError when the device has as many open as it may.
        """
        with self._quotas.stream(device):
            call = OpenCall(credentials, rule, end)
            self._open.add(call)
            try:
                yield call
            finally:
                self._open.discard(call)

    def note_refusal(self, who: str, what: str, error: SplitpointError) -> None:
        """Log that somebody was not let in: a line each, bounded in rate, without what it has shown."""
        self._failures.write(f"{who} was refused {what}: {error}")

    async def follow(self) -> None:
        """Follow the file until cancelled."""
        await repeat(self.refresh, LOOK_EVERY_S, f"following the {WHAT}")

    async def refresh(self) -> None:
        """Read the file if it has changed, and end the open calls of those who may not go on.

        A file that cannot be taken changes nothing, and is logged once: what was known before holds. It is
        tried again each time, since that may have been for want of open files or memory.
        """
        stamp = _stamp_of(self._path)
        if stamp != self._stamp:
            await self._read(stamp)
        for call in tuple(self._open):
            try:
                self.admit(call.credentials, call.rule)
            except SplitpointError as error:
                call.close(error)

    async def _read(self, stamp: _Stamp) -> None:
        known, self._tried = self._tried, stamp
        try:
            document = await asyncio.to_thread(read_devices, self._path)
        except FileError as error:
            if stamp != known:
                _log.error("%s Until then, the devices that were known before are served.", error)
            return
        self._stamp = stamp
        self._registry = Registry(document)
        self._quotas.forget(self._registry.find)
        _log.info("read the %s %s again", WHAT, self._path)


def gate_of(options: DeviceOptions, shared: SharedUse | None = None) -> Gate | None:
    """Return the gate that these options ask for; None: everybody is let in. `shared` as in Gate."""
    if options.devices is None:
        return None
    limits = Limits(
        streams=options.device_streams,
        requests_per_s=options.device_requests_per_s,
        bytes_per_s=options.device_bytes_per_s,
    )
    return Gate(Path(options.devices), limits, shared=shared)


def warn_of_certificates(gate: Gate | None, *, asked_for: bool) -> None:
    """Say once when devices are known by certificates that no listener asks for."""
    if gate is not None and gate.takes_certificates and not asked_for:
        _log.warning(
            "devices that are known by their certificate alone cannot get in: this server asks for none. "
            "Start it with --tls-client-ca, or give them a token."
        )


def _stamp_of(path: Path) -> _Stamp:
    """Return what changes whenever a file is replaced, written to or made readable; () when it is missing."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
