"""Quotas: what each device takes now, held against its limits and the server's defaults."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cloud_server.security.registered_device import Limits, RegisteredDevice
from partitioner.common.units import format_duration, format_size, plural
from protos.errors import QuotaError
from protos.rpc.status import OVER_QUOTA
from protos.serving.allowance import Allowance

_STREAM_RETRY_S = 1.0


class Quotas:
    """Counts the calls, bytes and streams of devices. Used from the event loop; a check takes some µs."""

    def __init__(self, defaults: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._defaults = defaults
        self._clock = clock
        self._allowances: dict[tuple[str, str], tuple[float, Allowance]] = {}
        self._streams: Counter[str] = Counter()

    def charge(self, device: RegisteredDevice, size_bytes: int) -> None:
        """Count one request of a device; OverloadedError when that is more than it may, and none counts."""
        by_number = self._allowance(device, "requests_per_s")
        by_size = self._allowance(device, "bytes_per_s")
        if by_number and (wait_s := by_number[1].wait_s()) > 0:
            raise _over(device, f"{plural(by_number[0], 'request')} a second", wait_s)
        if by_size and (wait_s := by_size[1].wait_s(size_bytes)) > 0:
            raise _over(device, f"{format_size(by_size[0])} a second", wait_s)
        if by_number:
            by_number[1].take()
        if by_size:
            by_size[1].take(size_bytes)

    def charge_download(self, device: RegisteredDevice, size_bytes: int) -> float:
        """Count bytes that a device downloads; return the seconds after which they may be sent.

        They have the rate of its requests and an account of their own: a download slows no inference. Fewer
        than none are given back.
        """
        download = self._allowance(device, "bytes_per_s", "downloads")
        if download is None:
            return 0.0
        wait_s = download[1].wait_s(size_bytes)
        download[1].take(size_bytes)
        return wait_s

    @contextmanager
    def stream(self, device: RegisteredDevice) -> Iterator[None]:
        """Count one call that stays open for as long as the block runs; OverloadedError when too many do."""
        most = self._limit(device, "streams")
        if most is not None and self._streams[device.name] >= most:
            raise _over(device, f"{plural(int(most), 'stream')} at once", _STREAM_RETRY_S)
        self._streams[device.name] += 1
        try:
            yield
        finally:
            self._streams[device.name] -= 1
            if not self._streams[device.name]:
                del self._streams[device.name]

    def forget(self, known: Callable[[str], object]) -> None:
        """Drop what is kept of devices that are not `known` by their name any more."""
        for key in [key for key in self._allowances if not known(key[0])]:
            del self._allowances[key]

    def _allowance(
        self, device: RegisteredDevice, limit: str, account: str = ""
    ) -> tuple[float, Allowance] | None:
        """Return rate and allowance of a device; anew when its limit has changed; None without a limit."""
        rate = self._limit(device, limit)
        if rate is None:
            return None
        key = device.name, account or limit
        found = self._allowances.get(key)
        if found is None or found[0] != rate:
            found = self._allowances[key] = (rate, Allowance(rate, clock=self._clock))
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
