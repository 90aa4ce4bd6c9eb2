"""What devices take of several processes: each process is played by a view of the same memory."""

import os
import random
from collections.abc import Iterator

import pytest

from cloud_server.processes import shared_use
from cloud_server.processes.shared_use import SharedUse
from cloud_server.security.quotas import Quotas
from cloud_server.security.registered_device import Limits
from protos.errors import QuotaError
from tests.kit.clocks import FakeClock
from tests.kit.devices import UNLIMITED, device_of

PROCESSES = 3


@pytest.fixture
def views() -> Iterator[list[SharedUse]]:
    """What each of three processes has."""
    first = SharedUse.make(PROCESSES)
    others = [
        SharedUse(os.dup(first.descriptor), number, PROCESSES) for number in range(1, PROCESSES)
    ]
    yield [first, *others]
    for one in (first, *others):
        one.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def quotas(views: list[SharedUse], clock: FakeClock) -> list[Quotas]:
    return [Quotas(UNLIMITED, clock, view) for view in views]


def test_device_at_several_processes_gets_what_it_would_get_of_one(
    quotas: list[Quotas], clock: FakeClock
) -> None:
    device, _ = device_of("cam", "infer", limits=Limits(requests_per_s=7, bytes_per_s=900))
    alone, chance = Quotas(UNLIMITED, clock), random.Random(0)
    let_in = 0
    for _ in range(2000):
        clock.now_s += chance.expovariate(20)
        size = chance.randrange(300)
        waits = [_waits(one, device, size) for one in (alone, chance.choice(quotas))]
        assert waits[0] == pytest.approx(waits[1])
        let_in += waits[0] == 0
    assert 100 < let_in < 1900


def _waits(quotas: Quotas, device: object, size_bytes: int) -> float:
    try:
        quotas.charge(device, size_bytes)  # type: ignore[arg-type]
    except QuotaError as error:
        return error.retry_after_s or 0.0
    return 0.0


def test_download_is_paced_by_what_others_have_sent(quotas: list[Quotas], clock: FakeClock) -> None:
    device, _ = device_of("cam", "fetch", limits=Limits(bytes_per_s=1_000))
    assert quotas[0].charge_download(device, 1_000) == 0
    assert quotas[1].charge_download(device, 500) == pytest.approx(0.5)
    assert quotas[2].charge_download(device, 500) == pytest.approx(1.0)
    assert quotas[0].charge_download(device, -500) == pytest.approx(0.5)
    clock.now_s += 0.5
    assert quotas[1].charge_download(device, 0) == 0


def test_streams_count_wherever_they_are_until_they_end_or_their_process_does(
    quotas: list[Quotas], views: list[SharedUse]
) -> None:
    device, _ = device_of("cam", "infer", limits=Limits(streams=2))
    other, _ = device_of("lamp", "infer", limits=Limits(streams=2))
    first, second = quotas[0].stream(device), quotas[1].stream(device)
    first.__enter__()
    second.__enter__()
    for one in quotas:
        with pytest.raises(QuotaError, match="2 streams at once"):
            one.stream(device).__enter__()
        with one.stream(other):
            pass
    first.__exit__(None, None, None)
    with quotas[2].stream(device):
        pass
    views[0].leave(1)  # it was killed, so that nobody has counted its stream down
    with quotas[0].stream(device), quotas[2].stream(device):
        pass


def test_row_whose_holder_was_stopped_keeps_nobody_waiting(
    quotas: list[Quotas], views: list[SharedUse], monkeypatch: pytest.MonkeyPatch
) -> None:
    device, _ = device_of("cam", "infer", limits=Limits(requests_per_s=1))

    def locked(*_: object) -> None:
        raise BlockingIOError

    monkeypatch.setattr(shared_use.fcntl, "lockf", _only_unlocks(locked))
    monkeypatch.setattr(shared_use, "_PAUSE_S", 0)
    quotas[0].charge(device, 0)
    with pytest.raises(QuotaError):
        quotas[1].charge(device, 0)


def _only_unlocks(refuse: object) -> object:
    def lockf(_descriptor: int, operation: int, *_: int) -> None:
        if operation != shared_use.fcntl.LOCK_UN:
            refuse()  # type: ignore[operator]

    return lockf


def test_devices_beyond_the_rows_count_by_process(
    views: list[SharedUse], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_use, "_DEVICES", 1)
    first, second = (Quotas(Limits(requests_per_s=1), clock, view) for view in views[:2])
    known, late = (device_of(name, "infer")[0] for name in ("cam", "lamp"))
    first.charge(known, 0)
    with pytest.raises(QuotaError):
        second.charge(known, 0)
    for one in (first, second):
        one.charge(late, 0)
        with pytest.raises(QuotaError):
            one.charge(late, 0)
