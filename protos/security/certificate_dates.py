"""Between which dates the certificates in a client's files hold; read anew when the files change."""

from collections.abc import Mapping

from protos.errors import CredentialError
from protos.security.reloaded_files import stamp_of
from protos.security.tls_files import Dates, TlsFiles, dates_of


class CertificateDates:
    """The dates of a client's `own` certificate, and of the `authorities` that it trusts."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._found: Mapping[str, Dates] = {}
        self._stamp = stamp_of(())

    def read(self) -> Mapping[str, Dates]:
        """Return the dates; those of before while files are broken, and none where there are no files."""
        stamp = stamp_of(self._files.paths)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._found = dates_of(self._files.read())
            except CredentialError:  # whoever connects with them says so
                return self._found
        return self._found
