"""Addresses to listen on: HOST:PORT."""

import socket

from protos.errors import UsageError


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT` (IPv6: `[::1]:PORT`); raises UsageError."""
    host, _, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or (":" in host and bare == host) or not port.isascii() or not port.isdigit():
        raise UsageError(
            f"{address!r} is no address to listen on. Write HOST:PORT, such as 0.0.0.0:50051, "
            "127.0.0.1:0 (any free port) or [::1]:50051."
        )
    if int(port) > 65535:
        raise UsageError(
            f"{address!r} has port {port}. Ports go from 0 to 65535; 0 is any free one."
        )
    return bare, int(port)


def open_listener(address: str, flag: str) -> socket.socket:
    """Return a socket that listens on `address`; UsageError names the `flag` that chose it."""
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        # Python adds the address once more, in brackets.
        reason = str(error.strerror or error).partition(" (")[0]
        raise UsageError(
            f"cannot listen on {address}: {reason}. Choose another {flag}, or end "
            "what uses the port."
        ) from error
