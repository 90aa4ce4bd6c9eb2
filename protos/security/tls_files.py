"""The files of TLS at one end of a connection: a certificate, its key, and the authorities it trusts."""

import logging
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from protos.errors import CredentialError, UsageError, reason

if TYPE_CHECKING:
    from ssl import SSLContext

    from cryptography.x509 import Certificate


_log = logging.getLogger(__name__)

Dates: TypeAlias = tuple[float, float]
"""The Unix times from which on a certificate holds, and until which."""


@dataclass(frozen=True)
class TlsMaterial:
    """What the files hold, in PEM, checked; empty for files that were not named."""

    cert: bytes = b""
    key: bytes = field(default=b"", repr=False)
    authorities: bytes = b""


@dataclass(frozen=True)
class TlsFiles:
    """The paths of PEM files. A certificate and its key go together; raises UsageError otherwise."""

    cert: Path | None = None
    key: Path | None = None
    authorities: Path | None = None
    """Certificates of the authorities whose word counts for who the other end is."""

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            there, missing = ("certificate", "key") if self.cert else ("key", "certificate")
            raise UsageError(
                f"a {there} needs its {missing}: {self.cert or self.key} was given alone. Give both, or none."
            )

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that were named."""
        return tuple(filter(None, (self.cert, self.key, self.authorities)))

    def read(self) -> TlsMaterial:
        """Return what they hold; CredentialError for what no connection could be made with.

        Dates are not looked at: see `check_dates`.
        """
        cert = key = authorities = b""
        if self.cert and self.key:
            cert, key = read_file(self.cert, "certificate"), read_file(self.key, "key")
            _check_pair(self.cert, cert, self.key, key)
        if self.authorities:
            authorities = read_file(self.authorities, "authorities")
            _certificates(self.authorities, authorities)
        return TlsMaterial(cert, key, authorities)

    def warn_of_open_key(self) -> None:
        """Log it where every user of this machine may read the key; containers mount keys so."""
        if self.key is not None and self.key.exists() and self.key.stat().st_mode & stat.S_IROTH:
            _log.warning(
                "every user of this machine may read the key %s; let its owner alone: chmod 600",
                self.key,
            )

    def read_current(self) -> TlsMaterial:
        """Return what they hold; CredentialError as of `read`, and for a certificate outside of its dates."""
        found = self.read()
        if self.cert is None:
            return found
        with _parsing(self.cert, "a certificate without dates"):
            begins, ends = validity(found.cert)
        now = datetime.now(UTC)
        if now > ends:
            raise CredentialError(
                f"the certificate {self.cert} {wrong_dates(found.cert, now)}. Renew it; or set this "
                "machine's clock, if it is fast."
            )
        if now < begins:
            raise CredentialError(
                f"the certificate {self.cert} {wrong_dates(found.cert, now)}. Set this machine's clock, if "
                "it is slow; or wait until the certificate holds."
            ).passing()
        return found

    def server_context(self) -> "SSLContext":
        """Return what a server of HTTP speaks TLS with; raises CredentialError."""
        import ssl

        found = self.read_current()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(str(self.cert), str(self.key), password=lambda: "")
            if found.authorities:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(cadata=found.authorities.decode("ascii", "ignore"))
        except (OSError, ValueError) as error:
            raise CredentialError(
                f"the certificate {self.cert} and its key cannot be used: {reason(error)}."
            ) from error
        return context


def read_file(path: Path, what: str) -> bytes:
    """Return the bytes of a small file; CredentialError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CredentialError(
            f"the {what} {path} cannot be read: {reason(error)}. Name a file that is there and that the "
            "user of this program may read."
        ) from error


def wrong_dates(cert: bytes, now: datetime) -> str:
    """Return what is wrong with the dates of a certificate in PEM, as `expired on …`; empty: nothing."""
    begins, ends = validity(cert)
    if now > ends:
        return f"expired on {_day(ends)}, and it is {_day(now)} here"
    if now < begins:
        return f"is valid from {_day(begins)} on, and it is {_day(now)} here"
    return ""


def dates_of(found: TlsMaterial) -> dict[str, Dates]:
    """Return between which Unix times the `own` certificate holds, and the `authorities` do.

    Of several authorities the one that holds longest counts, as one takes over from the other.
    """
    from cryptography import x509

    dates: dict[str, Dates] = {}
    if found.cert:
        begins, ends = validity(found.cert)
        dates["own"] = begins.timestamp(), ends.timestamp()
    if found.authorities:
        trusted = x509.load_pem_x509_certificates(found.authorities)
        last = max(trusted, key=lambda each: each.not_valid_after_utc)
        dates["authorities"] = (
            last.not_valid_before_utc.timestamp(),
            last.not_valid_after_utc.timestamp(),
        )
    return dates


def validity(cert: bytes) -> tuple[datetime, datetime]:
    """Return from when to when a certificate in PEM holds."""
    from cryptography import x509

    found = x509.load_pem_x509_certificate(cert)
    return found.not_valid_before_utc, found.not_valid_after_utc


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _check_pair(cert_path: Path, cert: bytes, key_path: Path, key: bytes) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    own, *_ = _certificates(cert_path, cert)
    with _parsing(key_path, "no private key in PEM, or half of one"):
        try:
            private = load_pem_private_key(key, None)
        except TypeError as error:
            raise CredentialError(
                f"the key {key_path} is encrypted, and nobody is there to say its passphrase. Write it "
                "without one, for this user alone: openssl pkey -in ENCRYPTED -out KEY."
            ) from error
    with _parsing(cert_path, "a certificate of another kind than TLS takes"):
        belongs = private.public_key() == own.public_key()
    if not belongs:
        raise CredentialError(
            f"the key {key_path} does not belong to the certificate {cert_path}. Give the two that were made "
            "together."
        )


def _certificates(path: Path, held: bytes) -> "list[Certificate]":
    from cryptography import x509

    with _parsing(path, "no certificates in PEM, or half of one"):
        return x509.load_pem_x509_certificates(held)


@contextmanager
def _parsing(path: Path, what: str) -> Iterator[None]:
    """Raise CredentialError for whatever a parser fails with, which is of many classes."""
    try:
        yield
    except CredentialError:
        raise
    except Exception as error:
        raise CredentialError(f"{path} holds {what}. Write it again, whole.") from error
