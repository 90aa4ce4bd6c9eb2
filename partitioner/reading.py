"""Files that are read whole, none of which may fill the memory: they may have come from a server."""

from pathlib import Path
from typing import Final

MAX_DOCUMENT_BYTES: Final = 64 << 20
"""Of the manifest, the graph, the map of the weights and `heads.json`, each: these of a model with
thousands of nodes take about one."""


def read_document(path: Path, max_bytes: int = MAX_DOCUMENT_BYTES) -> bytes:
    """Return the bytes of a file; ValueError, before any is read, where it is larger than allowed."""
    if (size := path.stat().st_size) > max_bytes:
        raise ValueError(f"{size} bytes are more than the {max_bytes} allowed")
    return path.read_bytes()
