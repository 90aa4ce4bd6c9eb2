"""Certificates for tests: authorities, what they issue, and the files that hold it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from protos.security.tls_files import TlsFiles

DAY = timedelta(days=1)
HERE = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Authority:
    """An authority whose certificate, and all that it issues, lies in `folder`."""

    folder: Path
    name: str = "ca"

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ca", trustme.CA())
        self.folder.mkdir(exist_ok=True)
        self._ca.cert_pem.write_to_path(str(self.path))

    _ca: Any = None

    @property
    def path(self) -> Path:
        """Its own certificate."""
        return self.folder / f"{self.name}.pem"

    def issue(
        self,
        *identities: str,
        name: str = "own",
        valid: tuple[timedelta, timedelta] = (-DAY, 30 * DAY),
        clients: Path | None = None,
    ) -> TlsFiles:
        """Return the files NAME.crt and NAME.key, for this machine unless for others; `valid` from now.

        Files that are there are written over, in place. `clients`: authorities that the files name as well.
        """
        now = datetime.now(UTC)
        found = self._ca.issue_cert(
            *(identities or HERE),
            common_name=identities[0] if identities else None,
            not_before=now + valid[0],
            not_after=now + valid[1],
        )
        cert, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        cert.write_bytes(b"".join(each.bytes() for each in found.cert_chain_pems))
        key.write_bytes(found.private_key_pem.bytes())
        key.chmod(0o600)
        return TlsFiles(cert, key, clients)


def self_signed(folder: Path) -> TlsFiles:
    """Return the files of a certificate for this machine that no authority has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    here = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.SubjectAlternativeName(here), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = TlsFiles(folder / "self.crt", folder / "self.key")
    (folder / "self.crt").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "self.key").write_bytes(pem_of(key))
    return files


def pem_of(key: Any, passphrase: bytes = b"") -> bytes:
    """Return a private key in PEM, encrypted if there is a passphrase."""
    how = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))
