"""A map of the weights: the ranges of bytes that each head reads, so that a device can hold those alone.

The map is a file that the manifest names: the digest of each stretch is as certain as that of the whole.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from partitioner.bundle.manifest import WEIGHTS_MAP_FILE, Sha256
from partitioner.common.frozen_model import FrozenModel
from protos.errors import BundleError

WEIGHTS_MAP_SCHEMA_VERSION: Final = 1


class ByteRange(FrozenModel):
    """Bytes of the weights that the same heads read; what only tails read is in none."""

    offset: Annotated[int, Field(ge=0)]
    size_bytes: Annotated[int, Field(gt=0)]
    sha256: Sha256
    heads: tuple[str, ...]
    """The ids of the cuts whose heads read it."""

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.size_bytes


class WeightsMap(FrozenModel):
    """All stretches that any head reads, by their offset."""

    schema_version: Literal[1] = WEIGHTS_MAP_SCHEMA_VERSION
    stretches: tuple[ByteRange, ...]

    def read_by(self, cuts: Collection[str]) -> tuple[ByteRange, ...]:
        """Return what the heads of these cuts read, by offset."""
        found = (one for one in self.stretches if not set(one.heads).isdisjoint(cuts))
        return tuple(sorted(found, key=lambda one: one.offset))


def save_weights_map(folder: Path, found: WeightsMap) -> None:
    """Write the map into the folder of a bundle in the making."""
    (folder / WEIGHTS_MAP_FILE).write_text(found.model_dump_json() + "\n")


def parse_weights_map(document: bytes, path: Path) -> WeightsMap:
    """Read the map that a bundle has at `path`; BundleError when it is damaged or none."""
    try:
        return WeightsMap.model_validate_json(document)
    except ValueError as error:
        raise BundleError(
            f"{path} is no map of the weights: {error}. Import or copy the bundle again."
        ) from error
