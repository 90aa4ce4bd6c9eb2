"""The gate by itself: it follows its file, and knows nobody whom it has not let in."""

import asyncio
from pathlib import Path
from typing import Any, NoReturn

import pytest

from cloud_server.security.credentials import Credentials
from cloud_server.security.gate import LOOK_EVERY_S, Gate, gate_of
from cloud_server.security.registered_device import Limits
from cloud_server.security.registration import revoked
from cloud_server.security.rules import INFER, METRICS, OPEN, REST_RULES
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos.errors import DeniedError, FileError, OverloadedError, UnauthenticatedError
from protos.serving.callers import CALLER
from tests.kit.certificates import Authority
from tests.kit.clocks import FakeClock
from tests.kit.devices import NOW, UNLIMITED, certified, device_of, enrol, put


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "devices.json"


def allow(path: Path, mode: int) -> None:
    path.chmod(mode)


def no_more_files(path: Path) -> NoReturn:
    raise FileError(f"{path} cannot be read: too many open files.")


async def test_gate_follows_every_change_of_its_file(path: Path) -> None:
    device, token = device_of("cam", "infer")
    put(path, device)
    gate = Gate(path, UNLIMITED)
    assert gate.admit(Credentials(token.text), INFER) == device
    put(path, revoked(device, NOW))
    await gate.refresh()
    with pytest.raises(UnauthenticatedError, match="cam is revoked"):
        gate.admit(Credentials(token.text), INFER)
    other = enrol(path, "other", "infer")
    await gate.refresh()
    assert gate.admit(Credentials(other.text), INFER).name == "other"
    assert LOOK_EVERY_S <= 0.5  # twice within the second that is promised


async def test_file_that_becomes_readable_by_others_is_not_taken(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = enrol(path, "cam", "infer")
    gate = Gate(path, UNLIMITED)
    enrol(path, "new", "infer")
    allow(path, 0o644)
    for _ in range(3):
        await gate.refresh()
    assert gate.admit(Credentials(token.text), INFER).name == "cam"
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1  # once, and not at every look
    assert "so that others may read it" in said[0]
    allow(path, 0o600)
    await gate.refresh()
    assert gate.device("new").name == "new"


async def test_revocation_that_could_not_be_read_at_first_holds_from_the_next_look_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, token = device_of("cam", "infer")
    put(path, device)
    gate = Gate(path, UNLIMITED)
    put(path, revoked(device, NOW))
    with monkeypatch.context() as patch:
        patch.setattr("cloud_server.security.gate.read_devices", no_more_files)
        await gate.refresh()
    assert gate.admit(Credentials(token.text), INFER) == device
    await gate.refresh()  # the file is as it was
    with pytest.raises(UnauthenticatedError, match="cam is revoked"):
        gate.admit(Credentials(token.text), INFER)


def test_gate_needs_its_file_at_the_start(path: Path, residual_bundle: Bundle) -> None:
    with pytest.raises(FileError, match="cannot be read: No such file"):
        Gate(path, UNLIMITED)
    with (
        pytest.raises(FileError, match="the file of devices .* cannot be read"),
        CloudServer(residual_bundle.path, devices=path),
    ):
        pass


def test_no_file_is_no_gate_and_its_callers_show_nothing(residual_bundle: Bundle) -> None:
    with CloudServer(residual_bundle.path) as server:
        assert server.gate is None
        assert not server.options.authenticates


def test_one_of_several_roles_is_enough_and_none_is_not(path: Path) -> None:
    device, _ = device_of("cam", "telemetry")
    put(path, device)
    gate = Gate(path, UNLIMITED)
    gate.authorize(device, METRICS)
    gate.authorize(device, OPEN)
    with pytest.raises(DeniedError, match=r"lacks the role infer.*It has: telemetry\."):
        gate.authorize(device, INFER)
    nothing, _ = device_of("nothing")
    with pytest.raises(DeniedError, match=r"lacks the role telemetry or admin.*It has: none\."):
        gate.authorize(nothing, METRICS)


def test_what_is_of_all_models_is_for_devices_of_all_models(path: Path) -> None:
    one, _ = device_of("one", "admin", "telemetry", models=["digits"])
    every, _ = device_of("every", "admin", models=["digits", "*"])
    put(path, one, every)
    gate = Gate(path, UNLIMITED)
    for method in ("/metrics", "/v2/repository/index"):
        gate.authorize(every, REST_RULES[method])
        with pytest.raises(DeniedError, match="about all models, and device one may use digits al"):
            gate.authorize(one, REST_RULES[method])
    gate.authorize(one, REST_RULES["/v2/models/stats"])


def test_nobody_is_the_caller_before_somebody_was_let_in(path: Path) -> None:
    device, _ = device_of("cam", "infer")
    put(path, device)
    gate = Gate(path, UNLIMITED)
    with pytest.raises(UnauthenticatedError, match="this server asks who calls"):
        gate.caller()
    token = CALLER.set("cam")
    try:
        assert gate.caller() == device
    finally:
        CALLER.reset(token)


async def test_device_that_is_made_anew_begins_with_all_that_it_may_take(path: Path) -> None:
    limits = Limits(requests_per_s=1)
    device, _ = device_of("cam", "infer", limits=limits)
    put(path, device)
    gate = Gate(path, UNLIMITED, clock=FakeClock())
    gate.charge(device, 0)
    with pytest.raises(OverloadedError):
        gate.charge(device, 0)
    put(path, revoked(device, NOW))
    await gate.refresh()
    put(path, device_of("cam", "infer", limits=limits)[0])
    await gate.refresh()
    gate.charge(gate.device("cam"), 0)


async def test_download_that_is_given_up_while_it_waits_owes_nothing(path: Path) -> None:
    """Or a device whose patience is shorter than one part takes would owe more with each try."""
    device, _ = device_of("cam", "fetch", limits=Limits(bytes_per_s=1_000))
    put(path, device)
    clock = FakeClock()
    gate = Gate(path, UNLIMITED, clock=clock)
    await gate.pace(device, 1_000)
    for _ in range(3):
        waiting = asyncio.ensure_future(gate.pace(device, 1 << 20))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
    clock.now_s += 1
    async with asyncio.timeout(0):  # it does not wait at all
        await gate.pace(device, 1_000)


def test_gate_has_the_limits_of_the_server(path: Path, residual_bundle: Bundle) -> None:
    device, _ = device_of("cam", "infer")
    put(path, device)
    options = CloudServer(residual_bundle.path, devices=path, device_requests_per_s=1.0).options
    gate = gate_of(options)
    if gate is None:
        raise AssertionError("a server with devices has a gate")
    gate.charge(device, 0)
    with pytest.raises(OverloadedError, match="cam may take 1 request a second"):
        gate.charge(device, 0)
    assert repr(gate) == f"<Gate by {path}>"


@pytest.mark.parametrize(("asks", "said"), [(False, 1), (True, 0)])
def test_devices_by_certificate_are_warned_of_where_nobody_asks_for_one(
    path: Path,
    residual_bundle: Bundle,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    *,
    asks: bool,
    said: int,
) -> None:
    put(path, certified("cam", "infer"))
    authority = Authority(tmp_path / "ours")
    own = authority.issue()
    more: dict[str, Any] = {"tls_client_ca": authority.path} if asks else {}
    with CloudServer(
        residual_bundle.path, devices=path, tls_cert=own.cert, tls_key=own.key, **more
    ):
        assert caplog.text.count("Start it with --tls-client-ca") == said
