"""A replica that cannot be started."""

import tempfile
from pathlib import Path

import pytest

from cloud_server.processes import replica_process
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos.errors import PASSING, FaultError
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
