"""The command `splitpoint-cloud serve` and strangers: none of them fills the log without a name."""

import os
import signal
import socket
import ssl
import sys
from pathlib import Path

import pytest

from partitioner.bundle.bundle import Bundle
from tests.kit.certificates import Authority
from tests.kit.server_process import running

PROGRAM = (sys.executable, "-c", "from cloud_server.cli.entrypoint import main; main()")
TRIES = 30


def greet(address: str, trusted: Path, name: str) -> None:
    """Shake hands by TLS with a server under a name that it has not."""
    host, port = address.rsplit(":", 1)
    context = ssl.create_default_context(cafile=str(trusted))
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port)), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=name),
    ):
        pass


def said_of_strange_names(bundle: Bundle, folder: Path, *more: str) -> str:
    authority = Authority(folder)
    own = authority.issue()
    words = "--bundles", str(bundle.path), "--tls-cert", str(own.cert), "--tls-key", str(own.key)
    with running(PROGRAM, *words, *more) as (process, ready):
        for number in range(TRIES):
            greet(ready["address"], authority.path, f"evil-{number}.example")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    return str(said)


@pytest.mark.parametrize("more", [(), ("--log-format", "json")])
def test_names_that_the_server_has_not_leave_no_line_in_its_log(
    residual_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[str, ...],
) -> None:
    monkeypatch.delenv("GRPC_VERBOSITY")
    assert "evil-" not in said_of_strange_names(residual_bundle, tmp_path, *more)


def test_who_asks_for_the_lines_of_the_grpc_core_gets_them(
    residual_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "GRPC_VERBOSITY", "ERROR")
    assert "evil-" in said_of_strange_names(residual_bundle, tmp_path)
