"""Connections that end before a call is made: what gRPC says of them, what that means, and what mends it."""

from datetime import UTC, datetime
from typing import NamedTuple

from protos.errors import CredentialError
from protos.security.channel_security import ChannelSecurity
from protos.security.tls_files import TlsFiles, wrong_dates


class Meaning(NamedTuple):
    """What a connection that failed means."""

    cause: str
    """A predicate of the server, as `refuses connections`,"""
    remedy: str
    """and the sentence that says what to do."""
    needs_a_person: bool = False
    """It does not pass by itself."""


_CERTIFICATE = (
    (
        "certificate has expired",
        "has a certificate that has expired, by the clock of this machine",
        "Renew it there; or set this clock, if it is fast.",
    ),
    (
        "Hostname Verification Check failed",
        "has a certificate of another name than its address",
        "Ask it by a name that stands in its certificate, or give that name as `tls_server_name`.",
    ),
    (
        "issuer certificate",
        "has a certificate by an authority that is not trusted here",
        "Give its authority's certificate as `tls_ca`; if that was given, this is another server.",
    ),
    (
        "self signed certificate",
        "has a certificate that it signed itself, and that is not trusted here",
        "Give that certificate as `tls_ca`, if you know it to be the server's.",
    ),
    (
        "self-signed certificate",
        "has a certificate that it signed itself, and that is not trusted here",
        "Give that certificate as `tls_ca`, if you know it to be the server's.",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "has a certificate that cannot be verified",
        "Look at it with: openssl s_client -connect HOST:PORT -showcerts.",
    ),
    (
        "WRONG_VERSION_NUMBER",
        "speaks no TLS",
        "Give it `tls_cert` and `tls_key`; or leave the flags of TLS out here, if it shall be in the clear.",
    ),
)
"""What gRPC says of the certificate that it was shown; the first that fits."""

_NOT_YET = "certificate is not yet valid"
_CLOSED = ("Socket closed", "Cancelling all calls", "Connection reset by peer", "Broken pipe")
_BEFORE_CALLS = "failed to connect to all addresses"


def meaning_of(details: str, security: ChannelSecurity) -> Meaning | None:
    """Return what gRPC's `details` of a failed call mean where TLS, or its lack, is the reason; else None.

    A server that refuses a client's certificate just hangs up, as it does where TLS is missing.
    """
    if (
        _NOT_YET in details
    ):  # a device that has just started may have no clock before it has a network
        return Meaning(
            "has a certificate that is not valid yet, by the clock of this machine",
            "Set this clock, if it is slow; or wait until the certificate holds.",
        )
    for said, predicate, remedy in _CERTIFICATE:
        if said in details:
            return Meaning(predicate, remedy, needs_a_person=True)
    if _BEFORE_CALLS not in details or not any(said in details for said in _CLOSED):
        return None
    if not security.tls:
        return Meaning(
            "hangs up at once, as a server that wants TLS does, or a proxy without one behind it",
            "Give `tls_ca` with its authority, or `tls`, if it speaks TLS; else look whether it runs.",
        )
    if security.files.cert is None:
        return Meaning(
            "hangs up at once, as a server that wants a certificate of its clients does, or a proxy without "
            "one behind it",
            "Give this machine's own as `tls_cert` and `tls_key`, if it asks; else look whether it runs.",
        )
    if wrong := _wrong_dates(security.files):
        return Meaning(
            f"hangs up on this machine's certificate, which {wrong}",
            f"Renew {security.files.cert}, or set this machine's clock.",
        )
    return Meaning(
        "hangs up at once, as a server that does not take this machine's certificate does, or a proxy "
        "without one behind it",
        f"Look whether the server runs. If it does, ask for another certificate than {security.files.cert}: "
        "by an authority that it trusts, and with dates that hold by its clock.",
    )


def _wrong_dates(files: TlsFiles) -> str:
    """Return what is wrong with the dates of a certificate; empty for nothing, and for files of no use."""
    try:
        return wrong_dates(files.read().cert, datetime.now(UTC))
    except CredentialError:
        return ""
