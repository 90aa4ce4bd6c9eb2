"""The certificates that clients of HTTP show: their names, for every request of a connection.

ASGI has an extension for this, which uvicorn does not speak.
"""

from asyncio import BaseTransport
from collections.abc import Mapping
from typing import Any

_NAMES = "certificate_names"


def telling_names(protocol: Any) -> Any:
    """Return a protocol of uvicorn like `protocol` whose requests know the names in their certificate."""

    class TellsNames(protocol):  # type: ignore[misc]  # which of its protocols is known when it runs
        app_state: dict[str, Any]

        def connection_made(self, transport: BaseTransport) -> None:
            super().connection_made(transport)
            names = names_in(transport.get_extra_info("peercert") or {})
            self.app_state = {**self.app_state, _NAMES: names}

    return TellsNames


def certificate_names(scope: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the common name and the alternative names of who makes a request; () without a certificate."""
    found: tuple[str, ...] = scope.get("state", {}).get(_NAMES, ())
    return found


def names_in(certificate: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names in a verified certificate, as ssl.SSLSocket.getpeercert describes it.

    Of several common names the first counts, as gRPC has it: both listeners know a device alike.
    """
    parts = [pair for part in certificate.get("subject", ()) for pair in part]
    common = [value for key, value in parts if key == "commonName"]
    others = [value for _, value in certificate.get("subjectAltName", ())]
    return tuple(dict.fromkeys([*common[:1], *others]))
