"""Credentials: what a caller shows of who it is, by its token or by its certificate."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from protos.errors import UnauthenticatedError

AUTHORIZATION = "authorization"
_SCHEME = "bearer"


@dataclass(frozen=True)
class Credentials:
    """A token, or empty; and the names in a certificate that TLS has verified. `repr` tells no token."""

    token: str = field(default="", repr=False)
    certificate_names: tuple[str, ...] = ()


def bearer_token(headers: Iterable[tuple[str, str | bytes]]) -> str:
    """Return the token in HTTP headers or gRPC metadata, empty where there is none.

    Raises UnauthenticatedError for two of them and for another scheme.
    """
    found = [value for key, value in headers if key.lower() == AUTHORIZATION]
    if not found:
        return ""
    text = found[0] if isinstance(found[0], str) else found[0].decode("latin-1")
    scheme, _, token = text.partition(" ")
    if len(found) > 1 or scheme.lower() != _SCHEME:
        raise UnauthenticatedError(
            "this server takes one `authorization: Bearer TOKEN` a call, and no other scheme. Send that "
            "alone."
        )
    return token.strip()


def certificate_names(auth_context: Mapping[str, Iterable[bytes]]) -> tuple[str, ...]:
    """Return the common name and the alternative names of a peer's certificate, as gRPC's context has them.

    gRPC fills them in where TLS has verified the certificate against the authority of the server's clients.
    """
    keys = ("x509_common_name", "x509_subject_alternative_name")
    found = [name.decode("latin-1") for key in keys for name in auth_context.get(key, ())]
    return tuple(dict.fromkeys(found))
