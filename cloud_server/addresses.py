"""Sockets to listen with."""

import socket

from partitioner.addresses import split_address
from protos.errors import UsageError


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
