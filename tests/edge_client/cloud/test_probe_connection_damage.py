"""A connection that is closed with a code that nobody knows: it ends a call, and no process."""

import socket
import subprocess
import sys
import threading

import pytest

from tests.kit.http2 import close_all

LAST_KNOWN = 13
"""Of HTTP/2's error codes (RFC 9113, section 7)."""


@pytest.mark.parametrize("code", [LAST_KNOWN + 1, 0xFFFFFFFF])
def test_connection_closed_with_an_unknown_code_is_an_unreachable_cloud(code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closing = threading.Thread(target=close_all, args=(listener, code), daemon=True)
        closing.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        run = "from edge_client.cli.main import main; main()"
        command = [sys.executable, "-c", run, "probe", "--cloud", address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4, done.stderr
    assert f"no cloud server answers at {address}" in " ".join(done.stderr.split())
