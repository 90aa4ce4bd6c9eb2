"""TLS at a server's end: what gRPC and HTTP speak it with, renewed when the files change.

Each handshake asks for the newest files; connections that are there keep what they began with.
"""

import ssl
from typing import Any

import grpc

from protos.security.reloaded_files import ReloadedFiles
from protos.security.tls_files import TlsFiles


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Return what a server of gRPC, of either kind, speaks TLS with; raises CredentialError.

    Where the files name authorities, a client has to show a certificate by one of them.
    """

    def read() -> grpc.ServerCertificateConfiguration:
        found = files.read_current()
        return grpc.ssl_server_certificate_configuration(
            [(found.key, found.cert)], found.authorities or None
        )

    watched = ReloadedFiles(f"the certificate {files.cert}", files.paths, read)
    used = watched.newest()

    def changed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal used
        newest = watched.newest()
        if newest is used:
            return None
        used = newest
        return newest

    asks = files.authorities is not None
    # None says that nothing changed, which the types do not know.
    return grpc.dynamic_ssl_server_credentials(used, changed, asks)  # type: ignore[arg-type]


class RenewedContext(ssl.SSLContext):
    """A context of a server whose connections each begin with the newest files. `of` makes one."""

    _watched: ReloadedFiles[ssl.SSLContext]

    @classmethod
    def of(cls, files: TlsFiles) -> "RenewedContext":
        """Return a context for a server of HTTP with these files; raises CredentialError."""
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context._watched = ReloadedFiles(
            f"the certificate {files.cert}", files.paths, files.server_context
        )
        return context

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        """Begin a connection, as event loops do."""
        return self._watched.newest().wrap_bio(*arguments, **named)

    def wrap_socket(self, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        """Begin a connection, as servers with threads do."""
        return self._watched.newest().wrap_socket(*arguments, **named)
