"""How a client of ours secures its connections to a server, declared once for all that open one."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from partitioner.settings.declaration import Options, option
from partitioner.settings.kinds import FILE, SECRET, SWITCH, words
from partitioner.settings.listener_options import insecure_option
from partitioner.settings.panels import SECURITY

if TYPE_CHECKING:
    from protos.security.channel_security import ChannelSecurity


@dataclass(frozen=True, kw_only=True)
class ConnectionOptions(Options):
    """Whether a client speaks TLS, whom it trusts, and how it shows who it is."""

    tls: bool = option(
        False,
        "Speak TLS, and trust the authorities that this system does; each of the next three asks for it, "
        "too.",
        SWITCH,
        panel=SECURITY,
    )
    tls_ca: str | Path | None = option(
        None,
        "Trust these authorities instead, in PEM, for who the server is.",
        FILE,
        none="none",
        panel=SECURITY,
    )
    tls_cert: str | Path | None = option(
        None,
        "Certificate by which this client shows who it is, in PEM; read anew for each new connection.",
        FILE,
        none="none",
        panel=SECURITY,
    )
    tls_key: str | Path | None = option(
        None, "Its private key, in PEM, not encrypted.", FILE, none="none", panel=SECURITY
    )
    tls_server_name: str | None = option(
        None,
        "The name that the server's certificate has to have.",
        words("NAME"),
        shown="that of its address",
        panel=SECURITY,
    )
    token_file: str | Path | None = option(
        None,
        "File with the token by which the server lets this client in; nobody but its owner may read it.",
        FILE,
        none="none",
        panel=SECURITY,
    )
    token: str | None = option(None, "The token itself.", SECRET, panel=SECURITY)
    insecure: bool = insecure_option("Let a token travel in the clear beyond this machine.")

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.security

    @property
    def security(self) -> "ChannelSecurity":
        """The same as what opens connections takes it. Raises UsageError for what does not go together."""
        from protos.security.channel_security import ChannelSecurity
        from protos.security.tls_files import TlsFiles

        cert, key, authorities = (
            Path(path) if path else None for path in (self.tls_cert, self.tls_key, self.tls_ca)
        )
        return ChannelSecurity(
            self.tls,
            TlsFiles(cert, key, authorities),
            self.tls_server_name or "",
            self.token or "",
            Path(self.token_file) if self.token_file else None,
            self.insecure,
        )
