"""A replica that cannot be started, or cannot follow."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cloud_server.models.model_store import ModelStore
from cloud_server.observability.book_sums import BookSums
from cloud_server.observability.call_book import CallBook
from cloud_server.observability.request_book import RequestBook
from cloud_server.options import ServerOptions
from cloud_server.processes import replica_process, replicas
from cloud_server.processes.replicas import Replicas
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import RuntimeOptions
from protos.errors import PASSING, FaultError, FileError
from protos.rpc.addresses import open_listener
from tests.kit.sockets import free_port


def test_server_whose_replica_ends_before_it_is_ready_says_so_and_leaves_nothing(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Short, as the path of a socket has to be.
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setattr(replica_process.sys, "executable", "/bin/false")
        listen = f"127.0.0.1:{free_port()}"
        with (
            pytest.raises(FaultError, match="replica 1 has ended with status 1 before") as caught,
            CloudServer(residual_bundle.path, listen, processes=2),
        ):
            pass
        assert caught.value.exit_status == PASSING
        assert list(Path(folder).iterdir()) == []
        open_listener(listen, "listen").close()  # the port is free again


class Lagging:
    """A replica that never loads what it is offered."""

    number, pid, is_open, is_in_step = 1, 7, True, True

    def __init__(self) -> None:
        self.drained_s: list[float] = []

    async def follow(self, _offer: object) -> list[str]:
        return ["net"]

    async def stop(self, grace_s: float) -> None:
        self.drained_s.append(grace_s)


async def test_replica_that_lacks_for_long_what_the_server_has_drains() -> None:
    options = ServerOptions("bundles", processes=4, drain_s=3.0)
    store = ModelStore((), RuntimeOptions())
    sums = BookSums(RequestBook(), CallBook())
    replicas = Replicas(options, store, sums, None, short, lag_s=0.0)
    store.on_change()
    one: Any = Lagging()
    with pytest.raises(FaultError, match="it has lacked for .* what the server has"):
        await replicas._lead(one)
    assert one.drained_s == [3.0]
    assert sums.missing == 3
    replicas.close()


async def short(_is_short: bool) -> None:
    """Do nothing with it."""


def test_processes_without_a_place_for_their_sockets_say_what_to_mount(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/dev/null")  # as where all is read-only
    with (
        pytest.raises(FileError, match=r"`processes` above 1 need a temporary folder.* TMPDIR"),
        CloudServer(residual_bundle.path, processes=2),
    ):
        pass


def test_place_for_sockets_whose_path_is_too_long_is_told_and_left_as_it_was(
    residual_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with (
        pytest.raises(FileError, match=r"has too long a path: the system takes 107 bytes.* TMPDIR"),
        CloudServer(residual_bundle.path, processes=2),
    ):
        pass
    assert not list(long.iterdir())


def test_server_whose_replica_does_not_get_ready_ends_and_says_what_to_look_at(
    residual_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = partial(replicas.Replicas, ready_s=0.0)
    monkeypatch.setattr(replicas, "Replicas", impatient)
    with (
        pytest.raises(FaultError, match=r"replica 1 is not ready after 0 .*memory") as caught,
        CloudServer(residual_bundle.path, processes=2),
    ):
        pass
    assert caught.value.exit_status == PASSING
