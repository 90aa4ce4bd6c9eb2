"""Head-only bundles: which heads a device holds, and the bytes they need.

Such a folder has the manifest of the whole bundle, so that it is the same bundle to both sides, and
`heads.json`, which says what is there: the graphs of these heads, and of the weights the stretches that
they read, at their place in the file and nothing (a hole) where the others would be. Exits, calibration
and samples are there as in any bundle.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from partitioner.bundle.contents import Contents
from partitioner.bundle.manifest import (
    GRAPH_FILE,
    MODEL_GRAPH,
    WEIGHTS_FILE,
    WEIGHTS_MAP_FILE,
    FileDigest,
    Manifest,
    Sha256,
)
from partitioner.bundle.weights_map import ByteRange, parse_weights_map
from partitioner.common.files import read_document
from partitioner.common.nearest import meant_text
from protos.errors import BundleError, UnknownNameError

HEADS_FILE = "heads.json"
HEADS_SCHEMA_VERSION: Final = 1


class Held(BaseModel):
    """The cuts whose heads are here. The cut `cloud` needs none, and the cut `edge` is not there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = HEADS_SCHEMA_VERSION
    bundle_digest: Sha256
    cuts: Annotated[tuple[str, ...], Field(min_length=1)]

    @classmethod
    def of(cls, manifest: Manifest, wanted: Sequence[str] = ()) -> "Held":
        """Return what holding the heads of `wanted` means, in the bundle's order; none named: of all cuts.

        Raises UnknownNameError for what is no cut with a head of its own.
        """
        known = [cut.id for cut in manifest.cuts if cut.head_graph]
        unknown = [cut for cut in wanted if cut not in known]
        if unknown or not known:
            what = f"no head of a cut {unknown[0]!r}" if unknown else "no cut inside the model"
            meant = meant_text(unknown[0], known) if unknown else ""
            raise UnknownNameError(
                f"{manifest.name} has {what}.{meant} It has heads of: {', '.join(known) or 'none'}. "
                "Name one of these, or take the whole bundle."
            )
        chosen = tuple(cut for cut in known if not wanted or cut in wanted)
        return cls(bundle_digest=manifest.digest, cuts=chosen)

    @classmethod
    def load(cls, folder: Path, manifest: Manifest) -> "Held | None":
        """Return what `heads.json` says is in `folder`; None without it: all of the bundle.

        Raises BundleError when it is damaged, or of another bundle.
        """
        path = folder / HEADS_FILE
        if not path.exists():
            return None
        try:
            held = cls.model_validate(json.loads(read_document(path)))
        except (OSError, ValueError, RecursionError) as error:
            first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            raise BundleError(f"{path} is damaged: {first}. Fetch the heads again.") from error
        if held.bundle_digest != manifest.digest:
            raise BundleError(
                f"{path} is of another bundle: {held.bundle_digest[:12]}…, and this is "
                f"{manifest.digest[:12]}…. Fetch the heads again, or remove the file if all is here."
            )
        known = tuple(cut.id for cut in manifest.cuts if cut.head_graph and cut.id in held.cuts)
        if known != held.cuts:
            raise BundleError(
                f"{path} is damaged: of {', '.join(held.cuts)} the bundle has {', '.join(known) or 'none'}. "
                "Fetch the heads again."
            )
        return held

    def save(self, folder: Path) -> None:
        """Write `heads.json`."""
        (folder / HEADS_FILE).write_text(self.model_dump_json() + "\n")

    def files(self, manifest: Manifest) -> Mapping[str, FileDigest]:
        """Return the files that are here whole: all but other graphs, and the weights."""
        heads = {cut.head_graph for cut in manifest.cuts if cut.id in self.cuts}
        graphs = {g for cut in manifest.cuts for g in (cut.head_graph, cut.tail_graph)}
        graphs |= {segment.graph for segment in manifest.segments}
        absent = (graphs | {MODEL_GRAPH, GRAPH_FILE, WEIGHTS_FILE}) - heads
        return {name: file for name, file in manifest.files.items() if name not in absent}

    def parts(self, contents: Contents, manifest: Manifest) -> tuple[ByteRange, ...]:
        """Return the parts of the weights that are here; `contents` has their map.

        Raises BundleError for a bundle of a splitpoint that did not keep it yet.
        """
        if WEIGHTS_MAP_FILE not in manifest.files:
            raise BundleError(
                f"{manifest.name} keeps no map of its weights, so that no part of them can be held alone. "
                "Import the model again with this splitpoint, or take the whole bundle."
            )
        document = contents.document(WEIGHTS_MAP_FILE)
        return parse_weights_map(document, contents.folder / WEIGHTS_MAP_FILE).read_by(self.cuts)

    def open(self, folder: Path, manifest: Manifest) -> Contents:
        """Open all that is held; BundleError unless it is there, byte for byte."""
        contents = Contents(folder, self.files(manifest))
        if parts := self.parts(contents, manifest):
            contents.hold_parts(WEIGHTS_FILE, parts)
        return contents

    def size_bytes(self, contents: Contents, manifest: Manifest) -> int:
        """Return the bytes of all that is held."""
        files = sum(file.size_bytes for file in self.files(manifest).values())
        return files + sum(one.size_bytes for one in self.parts(contents, manifest))
