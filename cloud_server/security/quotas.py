"""Quotas: what each device takes now, held against its limits and the server's defaults."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from cloud_server.security.registered_device import Limits, RegisteredDevice
from partitioner.common.units import format_duration, format_size, plural
from protos.errors import QuotaError
from protos.rpc.status import OVER_QUOTA
from protos.serving.allowance import Allowance

_STREAM_RETRY_S = 1.0

ACCOUNTS = ("requests_per_s", "bytes_per_s", "downloads")
"""What is counted of a device, beside its streams; the first two are called as their limits."""


@dataclass
class DeviceUse:
    """What one device takes: its accounts, each with the rate that it is kept at, and its open calls."""

    accounts: dict[str, tuple[float, Allowance]] = field(default_factory=dict)
    """By their names; those that have a limit."""
    streams: int = 0
    """Calls of this process that stay open."""
    streams_elsewhere: int = 0
    """Those of the server's other processes."""


class SharedUse(Protocol):
    """What devices take of all processes of a server."""

    def held(self, device: str, use: DeviceUse) -> AbstractContextManager[None]:
        """Hold a use for the block: as all processes know it before, and known to all after."""


class Quotas:
    """Counts the calls, bytes and streams of devices. Used from the event loop; a check takes some µs.

    `shared`: the use of a server's processes; None: there is one process.
    """

    def __init__(
        self,
        defaults: Limits,
        clock: Callable[[], float] = time.monotonic,
        shared: SharedUse | None = None,
    ) -> None:
        self._defaults = defaults
        self._clock = clock
        self._shared = shared
        self._uses: dict[str, DeviceUse] = {}

    def charge(self, device: RegisteredDevice, size_bytes: int) -> None:
        """Count one request of a device; OverloadedError when that is more than it may, and none counts."""
        by_number = self._account(device, "requests_per_s")
        by_size = self._account(device, "bytes_per_s")
        if not by_number and not by_size:
            return
        with self._held(device):
            if by_number and (wait_s := by_number[1].wait_s()) > 0:
                raise _over(device, f"{plural(by_number[0], 'request')} a second", wait_s)
            if by_size and (wait_s := by_size[1].wait_s(size_bytes)) > 0:
                raise _over(device, f"{format_size(by_size[0])} a second", wait_s)
            if by_number:
                by_number[1].take()
            if by_size:
                by_size[1].take(size_bytes)

    def owe(self, device: RegisteredDevice, size_bytes: int) -> None:
        """Count bytes of a request that was let in, and turned out to be so much larger: who owes waits."""
        if by_size := self._account(device, "bytes_per_s"):
            with self._held(device):
                by_size[1].take(size_bytes)

    def charge_download(self, device: RegisteredDevice, size_bytes: int) -> float:
        """Count bytes that a device downloads; return the seconds after which they may be sent.

        They have the rate of its requests and an account of their own: a download slows no inference. Fewer
        than none are given back.
        """
        download = self._account(device, "bytes_per_s", "downloads")
        if download is None:
            return 0.0
        with self._held(device):
            wait_s = download[1].wait_s(size_bytes)
            download[1].take(size_bytes)
        return wait_s

    @contextmanager
    def stream(self, device: RegisteredDevice) -> Iterator[None]:
        """Count one call that stays open for as long as the block runs; OverloadedError when too many do."""
        most, use = self._limit(device, "streams"), self._use(device)
        with self._held(device):
            if most is not None and use.streams + use.streams_elsewhere >= most:
                raise _over(device, f"{plural(int(most), 'stream')} at once", _STREAM_RETRY_S)
            use.streams += 1
        try:
            yield
        finally:
            with self._held(device):
                use.streams -= 1

    def forget(self, known: Callable[[str], object]) -> None:
        """Drop what is kept of devices that are not `known` by their name any more, and have nothing open."""
        for name in [name for name, use in self._uses.items() if not use.streams]:
            if not known(name):
                del self._uses[name]

    def _use(self, device: RegisteredDevice) -> DeviceUse:
        return self._uses.setdefault(device.name, DeviceUse())

    def _held(self, device: RegisteredDevice) -> AbstractContextManager[None]:
        if self._shared is None:
            return nullcontext()
        return self._shared.held(device.name, self._use(device))

    def _account(
        self, device: RegisteredDevice, limit: str, name: str = ""
    ) -> tuple[float, Allowance] | None:
        """Return rate and allowance of a device; anew when its limit has changed; None without a limit."""
        accounts, rate = self._use(device).accounts, self._limit(device, limit)
        if rate is None:
            accounts.pop(name or limit, None)
            return None
        found = accounts.get(name or limit)
        if found is None or found[0] != rate:
            found = accounts[name or limit] = (rate, Allowance(rate, clock=self._clock))
        return found

    def _limit(self, device: RegisteredDevice, what: str) -> float | None:
        own: float | None = getattr(device.limits, what)
        return getattr(self._defaults, what) if own is None else own


def _over(device: RegisteredDevice, limit: str, wait_s: float) -> QuotaError:
    return QuotaError(
        f"device {device.name} may take {limit}{OVER_QUOTA}Try again in {format_duration(wait_s)}, "
        "or have its limit raised.",
        wait_s,
    )
