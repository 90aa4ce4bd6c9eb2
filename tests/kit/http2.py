"""Frames of HTTP/2 as bytes, for tests that send what no library would."""

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
