"""Versions as a cloud offers them, and their files as it gives them, without a server."""

from collections.abc import Callable

from edge_client.updates.offer import VersionOffer
from edge_client.updates.version_download import FilePart
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import CALIBRATION_FILE
from partitioner.bundle.exits import EXITS_FILE
from partitioner.bundle.manifest import MANIFEST_FILE
from protos.errors import UnreachableError


def offer_of(bundle: Bundle) -> VersionOffer:
    """What a cloud that has this bundle offers."""
    there = {path.name for path in bundle.path.iterdir()}
    documents = tuple(name for name in (CALIBRATION_FILE, EXITS_FILE) if name in there)
    return VersionOffer(bundle.name, bundle.version_digest, bundle.digest, documents)


class Files:
    """Gives the files of a bundle's folder in parts. `spoil`: what becomes of a part on its way."""

    def __init__(
        self, bundle: Bundle, spoil: Callable[[str, bytes], bytes] = lambda _path, chunk: chunk
    ) -> None:
        self.asked: list[tuple[str, int, int]] = []
        self.breaks_after: int | None = None
        """So many parts, then the link breaks."""
        self._bundle = bundle
        self._spoil = spoil

    @property
    def paths(self) -> set[str]:
        """The files of which anything was asked for, but the manifest."""
        return {path for path, *_ in self.asked} - {MANIFEST_FILE}

    async def fetch(self, path: str, offset: int, most_bytes: int) -> FilePart:
        if self.breaks_after is not None and len(self.asked) >= self.breaks_after:
            raise UnreachableError("the link is gone.")
        self.asked.append((path, offset, most_bytes))
        content = (self._bundle.path / path).read_bytes()
        return FilePart(self._spoil(path, content[offset : offset + most_bytes]), len(content))


class FreeLink:
    """A link that no frame uses; keeps when downloads did."""

    def __init__(self) -> None:
        self.is_busy = False
        self.used: list[tuple[float, float]] = []

    def shared(self, since_s: float, until_s: float) -> None:
        self.used.append((since_s, until_s))
