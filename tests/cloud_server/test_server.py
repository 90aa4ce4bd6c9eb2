"""The server as an object: it starts, has an address, and ends."""

import inspect
import threading
from dataclasses import fields
from pathlib import Path

import grpc
import pytest

from cloud_server.options import ServerOptions
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos.errors import FileError, UsageError
from tests.kit.cloud_calls import TIMEOUT_S, connected, crossing, oip_stub, refused, request_for
from tests.kit.waiting import until


def test_port_that_is_taken_is_a_clear_error(residual_bundle: Bundle) -> None:
    with (
        CloudServer(residual_bundle.path) as server,
        pytest.raises(UsageError, match=r"cannot listen on .*in use.*Choose another `listen`"),
        CloudServer(residual_bundle.path, listen=server.address),
    ):
        pass


async def test_server_that_cannot_start_leaves_no_thread(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    rollouts, before = tmp_path / "rollouts.json", set(threading.enumerate())
    rollouts.write_text("{")
    server = CloudServer(residual_bundle.path, preload=("cloud",), rollouts=rollouts)
    with pytest.raises(FileError, match="are damaged") as caught:
        await server.start()

    def engine_threads() -> list[str]:
        new = set(threading.enumerate()) - before
        return [one.name for one in new if one.name.startswith(("infer", "load", "prove"))]

    until(lambda: not engine_threads())
    assert caught.tb  # which would keep the engine


def test_server_cannot_be_asked_for_its_address_before_it_runs(residual_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="not running"):
        _ = CloudServer(residual_bundle.path).address


def test_stopped_server_refuses_connections(residual_bundle: Bundle) -> None:
    with CloudServer(residual_bundle.path) as server:
        address = server.address
    request = request_for(residual_bundle, "cloud", crossing(residual_bundle, "cloud"))
    with connected(address) as channel:
        code, _ = refused(lambda: oip_stub(channel).ModelInfer(request, timeout=TIMEOUT_S))
    assert code == grpc.StatusCode.UNAVAILABLE.name


def test_signature_and_help_of_the_server_name_every_option() -> None:
    found = inspect.signature(CloudServer).parameters
    assert sorted(found) == sorted(field.name for field in fields(ServerOptions))
    assert list(found)[:2] == ["bundles", "listen"]
    assert str(found["memory_bytes"]) == "memory_bytes: int | None = None"
    text = " ".join((CloudServer.__init__.__doc__ or "").split())
    assert "drain_s: How long requests in flight may take to finish" in text


def test_options_of_a_wrong_name_or_type_are_told_what_was_wanted() -> None:
    with pytest.raises(
        UsageError, match="CloudServer has no option 'worker'. The nearest is 'workers'"
    ):
        CloudServer("b", worker=2)  # type: ignore[call-arg]
    with pytest.raises(
        UsageError, match="`memory_bytes` is '2GiB', of type str. Give a whole number of bytes"
    ):
        CloudServer("b", memory_bytes="2GiB")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="`preload` is 'cut-01', of type str. Give "):
        CloudServer("b", preload="cut-01")  # type: ignore[arg-type]
