"""How a server of ours is secured, declared once for all that listen."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from partitioner.settings.declaration import Options, option
from partitioner.settings.kinds import FILE, SWITCH
from partitioner.settings.panels import SECURITY
from protos.errors import UsageError

if TYPE_CHECKING:
    from protos.security.tls_files import TlsFiles


def insecure_option(sentence: str) -> bool:
    """Declare what lets something be in the clear."""
    return option(False, sentence, SWITCH, panel=SECURITY)


def tls_files(
    cert: str | Path | None, key: str | Path | None, client_ca: str | Path | None, prefix: str = ""
) -> "TlsFiles | None":
    """Return the files of a server's TLS; None without a certificate. Raises UsageError for half of them."""
    from protos.security.tls_files import TlsFiles

    if cert is None and key is None:
        if client_ca is not None:
            raise UsageError(
                f"`{prefix}tls_client_ca` asks clients for certificates, which needs one here, too. "
                f"Give `{prefix}tls_cert` and `{prefix}tls_key`."
            )
        return None
    cert, key, client_ca = (path if path is None else Path(path) for path in (cert, key, client_ca))
    return TlsFiles(cert, key, client_ca)


@dataclass(frozen=True, kw_only=True)
class ListenerOptions(Options):
    """By what files a server speaks TLS, and whether it may do without."""

    tls_cert: str | Path | None = option(
        None,
        "Certificate of this server, in PEM, with the chain that leads to its authority; read anew when it "
        "changes. Clients then have to speak TLS.",
        FILE,
        none="none",
        panel=SECURITY,
    )
    tls_key: str | Path | None = option(
        None, "Its private key, in PEM, not encrypted.", FILE, none="none", panel=SECURITY
    )
    tls_client_ca: str | Path | None = option(
        None,
        "Authorities, in PEM, by one of which every client has to show a certificate.",
        FILE,
        none="none",
        panel=SECURITY,
    )
    insecure: bool = insecure_option(
        "Listen beyond this machine with neither TLS nor callers who show who they are."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.tls

    @property
    def tls(self) -> "TlsFiles | None":
        """The files of TLS; None: it is not spoken."""
        return tls_files(self.tls_cert, self.tls_key, self.tls_client_ca)
