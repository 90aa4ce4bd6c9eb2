"""Upkeep of a device: when its certificates end, and how full the disk is that has the bundle."""

from pathlib import Path

from partitioner.common.files import disk_room
from protos.security.certificate_ends import CertificateEnds
from protos.security.tls_files import TlsFiles
from protos.telemetry import UpkeepSeen


class Upkeep:
    """Looks at what runs out on a device one day. `listener`: the files of its own local server."""

    def __init__(self, folder: Path, files: TlsFiles, listener: TlsFiles | None = None) -> None:
        self._folder = folder
        self._client = CertificateEnds(files)
        self._listener = CertificateEnds(listener or TlsFiles())

    def look(self) -> UpkeepSeen:
        """Return what is found now; what cannot be read is left out."""
        room = disk_room(self._folder)
        return UpkeepSeen(
            certificate_ends=self._ends(), disk_free_bytes=None if room is None else room[0]
        )

    def _ends(self) -> dict[str, float]:
        own = self._listener.read().get("own")
        return {**self._client.read(), **({} if own is None else {"listener": own})}
