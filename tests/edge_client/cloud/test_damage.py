"""A connection that is closed with a code that nobody knows: it ends a call, and no process."""

import socket
import struct
import subprocess
import sys
import threading

import pytest

from tests.kit.http2 import ACK, GOAWAY, HEADERS, PREFACE, SETTINGS, http2_frame, read_http2_frame

LAST_KNOWN = 13
"""Of HTTP/2's error codes (RFC 9113, section 7)."""


def close_all(listener: socket.socket, code: int) -> None:
    """Take every connection, and close it with `code` when it asks for something, until told to end."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, connection.makefile("rb") as heard:
            connection.sendall(
                http2_frame(SETTINGS, 0, 0, b"") + http2_frame(SETTINGS, ACK, 0, b"")
            )
            heard.read(len(PREFACE))
            while read_http2_frame(heard)[0] != HEADERS:
                pass
            connection.sendall(http2_frame(GOAWAY, 0, 0, struct.pack(">II", 0, code)))
            heard.read(1)


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
