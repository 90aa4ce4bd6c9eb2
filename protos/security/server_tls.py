"""TLS at a server's end: what gRPC and HTTP speak it with, renewed when the files change.

Each handshake asks for the newest files; connections that are there keep what they began with.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc

from protos.security.reloaded_files import ReloadedFiles
from protos.security.tls_files import Dates, TlsFiles, dates_of, validity

_log = logging.getLogger(__name__)

LOOK_S = 5.0
"""How often files are looked at while nobody connects."""
_WEEK = timedelta(days=7)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class _Read:
    """What the files held, in the forms that gRPC and HTTP take."""

    configuration: grpc.ServerCertificateConfiguration
    context: ssl.SSLContext
    expires: datetime
    late: datetime
    """When it should have been renewed: a third of its life before it ends, and a week at most."""
    dates: Mapping[str, Dates]


class ServerTls:
    """The TLS of all listeners of one server, by files that may change. Raises CredentialError.

    Where the files name authorities, a client has to show a certificate by one of them.
    """

    def __init__(self, files: TlsFiles, clock: Callable[[], datetime] = _now) -> None:
        self.files = files
        self._clock = clock
        self._watched = ReloadedFiles(f"the certificate {files.cert}", files.paths, self._read)
        self._warned: tuple[datetime, bool] | None = None
        files.warn_of_open_key()

    @property
    def dates(self) -> Mapping[str, Dates]:
        """Between which Unix times what is in use holds: the certificate as `own`, and its `authorities`."""
        return self._watched.newest().dates

    def credentials(self) -> grpc.ServerCredentials:
        """Return what a server of gRPC, of either kind, speaks TLS with."""
        used = self._watched.newest()

        def changed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal used
            newest = self._watched.newest()
            if newest is used:
                return None
            used = newest
            return newest.configuration

        asks = self.files.authorities is not None
        # None says that nothing changed, which the types do not know.
        return grpc.dynamic_ssl_server_credentials(used.configuration, changed, asks)  # type: ignore[arg-type]

    def context(self) -> ssl.SSLContext:
        """Return what a server of HTTP speaks TLS with."""
        return _RenewedContext.of(lambda: self._watched.newest().context)

    async def look_after(self) -> None:
        """Look at the files again and again, so that the log tells what is wrong before somebody connects."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Take new files into use, and warn, once each, of a certificate that expires soon or has."""
        newest, now = self._watched.newest(), self._clock()
        expires = newest.expires
        if now < newest.late or self._warned == (expires, now > expires):
            return
        self._warned = (expires, now > expires)
        when = f"expired on {expires:%Y-%m-%d %H:%M} UTC, and no client takes it"
        soon = f"expires on {expires:%Y-%m-%d %H:%M} UTC"
        _log.warning(
            "the certificate %s %s. Renew it; a new file is taken into use by itself",
            self.files.cert,
            when if now > expires else soon,
        )

    def _read(self) -> _Read:
        context = self.files.server_context()
        found = self.files.read_current()
        configuration = grpc.ssl_server_certificate_configuration(
            [(found.key, found.cert)], found.authorities or None
        )
        begins, ends = validity(found.cert)
        late = ends - min(_WEEK, (ends - begins) / 3)
        return _Read(configuration, context, ends, late, dates_of(found))


class _RenewedContext(ssl.SSLContext):
    """A context whose connections each begin with another one: the newest. `of` makes one."""

    _newest: Callable[[], ssl.SSLContext]

    @classmethod
    def of(cls, newest: Callable[[], ssl.SSLContext]) -> "_RenewedContext":
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context._newest = newest
        return context

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        """Begin a connection, as event loops do."""
        return self._newest().wrap_bio(*arguments, **named)

    def wrap_socket(self, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        """Begin a connection, as servers with threads do."""
        return self._newest().wrap_socket(*arguments, **named)
