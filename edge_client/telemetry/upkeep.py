"""Upkeep of a device: the dates of its certificates, and how full the disk is that has the bundle."""

from pathlib import Path

from partitioner.common.files import disk_room
from protos.security.certificate_dates import CertificateDates
from protos.security.tls_files import TlsFiles
from protos.telemetry import CertificateSeen, UpkeepSeen


class Upkeep:
    """Looks at what runs out on a device one day. `listener`: the files of its own local server."""

    def __init__(self, folder: Path, files: TlsFiles, listener: TlsFiles | None = None) -> None:
        self._folder = folder
        self._client = CertificateDates(files)
        self._listener = CertificateDates(listener or TlsFiles())

    def look(self) -> UpkeepSeen:
        """Return what is found now; what cannot be read is left out."""
        room = disk_room(self._folder)
        return UpkeepSeen(
            certificates=self._certificates(), disk_free_bytes=None if room is None else room[0]
        )

    def _certificates(self) -> dict[str, CertificateSeen]:
        found = dict(self._client.read())
        if own := self._listener.read().get("own"):
            found["listener"] = own
        return {
            whose: CertificateSeen(not_before_s=begins_s, not_after_s=ends_s)
            for whose, (begins_s, ends_s) in found.items()
        }
