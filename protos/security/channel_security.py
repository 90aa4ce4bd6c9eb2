"""How a client secures its connections: TLS, its own certificate, and the token by which it is let in."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from protos.errors import CredentialError, UsageError, reason
from protos.security.exposure import is_loopback
from protos.security.private_files import open_to_others
from protos.security.tls_files import TlsFiles

_MOST_BYTES = 4096
"""Of a token: with more, gRPC would refuse the headers."""
_PEM_OF_SYSTEM = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True)
class ChannelSecurity:
    """What a client shows of itself, and of whom it believes who they are. Raises UsageError.

    `token` or `token_file`: what is sent with every call, as `authorization: Bearer …`; only the owner may
    read the file, and of root's a group. `insecure`: a token may travel in the clear. Neither is ever shown.
    """

    tls: bool = False
    files: TlsFiles = field(default_factory=TlsFiles)
    """Its own certificate and key, and the authorities that it trusts; without these, those of the system."""
    server_name: str = ""
    """The name in the server's certificate; empty: that of the address."""
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    insecure: bool = False

    def __post_init__(self) -> None:
        if not self.tls and (self.files.paths or self.server_name):
            object.__setattr__(self, "tls", True)
        if self.token and self.token_file:
            raise UsageError("a token was given, and `token_file` names another. Give one of them.")
        if self.token:
            check_token(self.token, "the token")

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files from which it is read."""
        return (*self.files.paths, *((self.token_file,) if self.token_file else ()))

    @property
    def has_token(self) -> bool:
        """True where calls carry a token."""
        return bool(self.token or self.token_file)

    def check_address(self, address: str) -> None:
        """Raise UsageError where the token would go to `address` in the clear, beyond this machine."""
        if self.tls or self.insecure or not self.has_token or address.startswith("unix:"):
            return
        if not is_loopback(address.rpartition(":")[0]):
            raise UsageError(
                f"the token would go to {address} in the clear, for anyone on the way to read. Give `tls`, "
                "or `tls_ca` with the server's authority; or `insecure`, where nobody is on the way."
            )

    def read_token(self) -> str:
        """Return the token as it is now, empty for none; CredentialError for a file of no use."""
        if self.token_file is None:
            return self.token
        token = _read_own(self.token_file)
        check_token(token, f"what the token file {self.token_file} holds")
        return token


def check_token(token: str, what: str) -> None:
    """Raise CredentialError, which does not show it, for a token that no header can carry."""
    if not token:
        raise CredentialError(f"{what} is empty. Write the token there that the server gave out.")
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise CredentialError(
            f"{what} is no token: it has spaces, line breaks or letters that no token has. Write the token "
            "alone there."
        )
    if len(token) > _MOST_BYTES:
        raise CredentialError(
            f"{what} has {len(token):,} characters, and a token at most {_MOST_BYTES:,}. Write the token "
            "alone there."
        )


def system_authorities() -> bytes | None:
    """Return the certificates of the authorities that this system trusts; None: gRPC has its own list."""
    import ssl

    found = ssl.get_default_verify_paths().cafile
    for path in (*((found,) if found else ()), *_PEM_OF_SYSTEM):
        if Path(path).is_file():
            return Path(path).read_bytes()
    return None


def _read_own(path: Path) -> str:
    """Return the text of a file that is private; CredentialError."""
    try:
        with path.open(encoding="utf-8") as file:
            # of what was opened: the name may lead elsewhere by now
            others = open_to_others(os.fstat(file.fileno()))
            text = file.read(2 * _MOST_BYTES).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialError(
            f"the token file {path} cannot be read: {reason(error)}. Name a file that is there and that the "
            "user of this program may read."
        ) from error
    if others:
        raise CredentialError(
            f"the token file {path} is open to other users of this machine. Give its token up, get a new "
            f"one, and let its owner alone read it: chmod 600 {path}."
        )
    return text
