"""Quotas: what one device may take, held apart from what others do."""

import pytest

from cloud_server.security.quotas import Quotas
from cloud_server.security.registered_device import Limits
from protos.errors import OverloadedError
from tests.kit.clocks import FakeClock
from tests.kit.devices import device_of


def test_requests_and_bytes_over_a_limit_say_when_to_try_again() -> None:
    clock = FakeClock()
    quotas = Quotas(Limits(), clock)
    device, _ = device_of("cam", "infer", limits=Limits(requests_per_s=4, bytes_per_s=1_000))
    for _ in range(3):
        quotas.charge(device, 300)
    with pytest.raises(
        OverloadedError, match=r"cam may take 1.00 kB a second.*Try again in 200 ms"
    ) as over:
        quotas.charge(device, 300)  # 100 are left, and 1,000 come a second
    assert over.value.retry_after_s == pytest.approx(0.2)
    quotas.charge(device, 100)  # what was refused has taken nothing, neither bytes nor a request
    with pytest.raises(OverloadedError, match="may take 4 requests a second") as over:
        quotas.charge(device, 0)
    assert over.value.retry_after_s == pytest.approx(0.25)
    clock.now_s += 0.25
    quotas.charge(device, 250)


def test_download_waits_for_its_rate_and_slows_no_request() -> None:
    clock = FakeClock()
    quotas = Quotas(Limits(), clock)
    device, _ = device_of("cam", "fetch", limits=Limits(bytes_per_s=1_000))
    assert quotas.charge_download(device, 1_000) == 0
    assert quotas.charge_download(device, 500) == pytest.approx(0.5)
    assert quotas.charge_download(device, 500) == pytest.approx(1.0)  # of another call, after that
    quotas.charge(device, 1_000)
    clock.now_s += 2
    assert quotas.charge_download(device, 1_000) == 0
    free, _ = device_of("free", "fetch")
    assert quotas.charge_download(free, 1 << 40) == 0


def test_limits_of_a_device_go_before_the_defaults_and_devices_are_apart() -> None:
    quotas = Quotas(Limits(requests_per_s=1, streams=1), FakeClock())
    greedy, _ = device_of("greedy", "infer")
    other, _ = device_of("other", "infer")
    trusted, _ = device_of("trusted", "infer", limits=Limits(requests_per_s=100, streams=3))
    quotas.charge(greedy, 0)
    with pytest.raises(OverloadedError, match="greedy"):
        quotas.charge(greedy, 0)
    quotas.charge(other, 0)
    for _ in range(100):
        quotas.charge(trusted, 0)


def test_stream_over_the_limit_is_refused_until_one_has_ended() -> None:
    quotas = Quotas(Limits(streams=2), FakeClock())
    device, _ = device_of("cam", "infer")
    with quotas.stream(device):
        with (
            quotas.stream(device),
            pytest.raises(OverloadedError, match="cam may take 2 streams at once"),
        ):
            quotas.stream(device).__enter__()
        with quotas.stream(device):
            pass


def test_limit_that_changes_holds_from_the_next_request_on() -> None:
    quotas = Quotas(Limits(), FakeClock())
    device, _ = device_of("cam", "infer", limits=Limits(requests_per_s=1))
    quotas.charge(device, 0)
    wider = device.model_copy(update={"limits": Limits(requests_per_s=5)})
    for _ in range(5):
        quotas.charge(wider, 0)
    quotas.charge(device.model_copy(update={"limits": Limits()}), 0)


def test_nothing_is_kept_of_devices_that_are_gone() -> None:
    quotas = Quotas(Limits(requests_per_s=1), FakeClock())
    device, _ = device_of("cam", "infer")
    quotas.charge(device, 0)
    quotas.forget({}.get)
    quotas.charge(device, 0)  # as one that was never seen
