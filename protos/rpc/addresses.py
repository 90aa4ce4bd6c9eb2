"""Addresses in the form HOST:PORT: parsing, checking, and opening a listener."""

import errno
import socket

from protos.errors import UsageError

_TO_LISTEN = "to listen on"
_PASSING = (errno.EADDRINUSE, errno.EADDRNOTAVAIL)
_REMEDIES = {
    errno.EADDRINUSE: ", or end what uses the port",
    errno.EADDRNOTAVAIL: ": this machine does not have that address, or not yet",
    errno.EACCES: ": the ports below 1024 are root's",
}
"""What to do beside choosing another address."""


def split_address(address: str, purpose: str = _TO_LISTEN) -> tuple[str, int]:
    """Return host and port of `HOST:PORT` (IPv6: `[::1]:PORT`); UsageError names the `purpose`."""
    host, _, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    # Brackets belong around an IPv6 address, all of it, and around nothing else.
    if not _is_host(bare) or bracketed != (":" in bare) or not (port.isascii() and port.isdigit()):
        raise UsageError(f"{address!r} is no address {purpose}. {_advice(address, purpose)}")
    if int(port) > 65535:
        raise UsageError(
            f"{address!r} has port {port}. Ports go from 0 to 65535; 0 is any free one."
        )
    return bare, int(port)


def open_listener(address: str, parameter: str) -> socket.socket:
    """Return a socket that listens on `address`; UsageError names the `parameter` that chose it."""
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise not_listening(address, parameter, error) from error


def not_listening(address: str, parameter: str, error: OSError) -> UsageError:
    """Return the error of an address that cannot be listened on; what uses it may end by itself."""
    # Python adds the address once more, in brackets.
    why = str(error.strerror or error).partition(" (")[0]
    remedy = _REMEDIES.get(error.errno or 0, "")
    found = UsageError(f"cannot listen on {address}: {why}. Choose another `{parameter}`{remedy}.")
    return found.passing() if error.errno in _PASSING else found


def check_server(address: str) -> str:
    """Return the address of a server as gRPC takes it: HOST:PORT, or unix:PATH.

    Raises UsageError when it is neither: gRPC itself would take a missing port for 443.
    """
    if address.startswith("unix:"):
        return address
    _, port = split_address(address, "of a server")
    if port == 0:
        raise UsageError(
            f"{address!r} has port 0, where no server answers. Give the port that it printed when "
            "it started."
        )
    return address


def _advice(address: str, purpose: str) -> str:
    scheme, mark, _ = address.partition("://")
    if mark:
        return f"Leave out {scheme}{mark} and any path: write HOST:PORT, {_examples(purpose)}."
    return f"Write HOST:PORT, {_examples(purpose)}."


def _examples(purpose: str) -> str:
    if purpose == _TO_LISTEN:
        return "such as 0.0.0.0:50051, 127.0.0.1:0 (any free port) or [::1]:50051"
    return "such as 10.0.0.2:50051, cloud.local:50051 or [::1]:50051"


def _is_host(text: str) -> bool:
    return bool(text) and not any(letter in "[]/" or letter.isspace() for letter in text)
