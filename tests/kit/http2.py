"""Frames of HTTP/2 as bytes, for tests that send what no library would."""

import socket
import struct
from typing import BinaryIO

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client says first."""

HEADERS, SETTINGS, GOAWAY = 1, 4, 7
"""Types of frames (RFC 9113, section 6)."""
ACK, END = 1, 5
"""Flags: of settings that are acknowledged, and of headers that are all there is to a request."""


def http2_frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    """Return one frame."""
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body


def read_http2_frame(source: BinaryIO) -> tuple[int, int]:
    """Read one frame; return its type and its stream. EOFError where there is none."""
    head = source.read(9)
    if len(head) < 9:
        raise EOFError("the connection was closed")
    source.read(int.from_bytes(head[:3], "big"))
    return head[3], int.from_bytes(head[5:], "big")


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
