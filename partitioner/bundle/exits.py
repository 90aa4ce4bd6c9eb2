"""The exits of a bundle on the disk, and what they did on inputs that they have not seen.

`exits.npz` lies beside the manifest and is no part of the bundle's identity, as exits can be trained
again; it is bound to the graphs and weights whose values they take. In the file: `meta`, JSON as
bytes; for each exit `<cut>/graph`, an ONNX model as bytes, and of its held-out inputs
`<cut>/confidence`, `<cut>/agrees` and `<cut>/right`; `whole_right` for all of them.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from pydantic import Field

from partitioner.bundle.exit_outcomes import Outcomes
from partitioner.bundle.manifest import Cut, mended_by
from partitioner.common.archive import damaged, read_beside, write_archive
from partitioner.common.frozen_model import FrozenModel
from partitioner.runtime.sessions import ModelFile, RuntimeOptions, Stage, open_stage
from protos.errors import UnknownNameError, UsageError
from protos.tensors import TensorSpec

EXITS_FILE = "exits.npz"
EXITS_SCHEMA_VERSION: Final = 1
MAX_EXITS_BYTES = 64 << 20
"""Of the file, and of everything in it together once it is unpacked."""

CONFIDENCE = "exit/confidence"
"""The output of an exit's graph, [batch], beside that which has the name of the model's."""


class ExitMeta(FrozenModel):
    """One exit."""

    cut: str
    temperature: float = Field(gt=0)
    """What its scores are divided by, in its graph."""
    threshold: float | None = Field(ge=0, le=1)
    """The lowest confidence at which it agrees as often as wanted; None: it never does."""
    head_share: float = Field(ge=0)
    """Its seconds over those of the head before it, on the machine that trained it."""


class ExitsMeta(FrozenModel):
    """What was trained, on how much, and what it belongs to."""

    schema_version: Literal[1] = EXITS_SCHEMA_VERSION
    split_digest: str
    """Of the bundle; see Manifest.split_digest."""
    made_at: str
    """UTC, ISO 8601."""
    agreement: float = Field(gt=0, le=1)
    """What the thresholds were chosen for: the share of those that exit."""
    trained_samples: int = Field(ge=1)
    held_out_samples: int = Field(ge=1)
    exits: tuple[ExitMeta, ...]


class ExitCost(NamedTuple):
    """What a plan needs to know of an exit: the chance that a frame exits, and its share of the head."""

    rate: float
    head_share: float


@dataclass(frozen=True, eq=False)
class Exit:
    """One exit: what is known of it, its ONNX model, and how it did on the held-out inputs."""

    meta: ExitMeta
    graph: bytes = field(repr=False)
    outcomes: Outcomes

    @property
    def agreement(self) -> float | None:
        """Share of the held-out inputs that exit at its own threshold which get the whole model's class."""
        own = self.meta.threshold
        return None if own is None else self.outcomes.at(own).agreement

    @property
    def agreement_of_all(self) -> float:
        """Share of all held-out inputs to which it gives the whole model's class, however unsure it is."""
        return float(np.mean(self.outcomes.agrees))

    def cost(self, threshold: float | None = None) -> ExitCost:
        """Return the chance to exit at `threshold`; None: at its own, and never if it has none."""
        limit = self.meta.threshold if threshold is None else threshold
        return ExitCost(0.0 if limit is None else self.outcomes.rate(limit), self.meta.head_share)


class BundleExits:
    """The exits of one bundle, by the id of their cut."""

    def __init__(self, meta: ExitsMeta, exits: Mapping[str, Exit], file: bytes = b"") -> None:
        self.meta = meta
        self.by_cut = dict(exits)
        self.file = file
        """The bytes of the file that they were read from; none before they are saved."""

    def __repr__(self) -> str:
        cuts = ", ".join(self.by_cut) or "none"
        return f"<BundleExits for an agreement of {100 * self.meta.agreement:g} %: {cuts}>"

    @classmethod
    def load(cls, folder: Path, split_digest: str) -> "BundleExits | None":
        """Read the exits in a bundle's folder; None if there are none.

        Raises BundleError when they are damaged, or of another bundle.
        """
        path = folder / EXITS_FILE
        advice = mended_by(folder, f"Train again with: splitpoint exits train {folder} --data DIR")
        read = read_beside(path, "exits", ExitsMeta, MAX_EXITS_BYTES, split_digest, advice)
        if read is None:
            return None
        meta, arrays, file = read
        try:
            exits = {found.cut: _exit(found, arrays) for found in meta.exits}
            return cls(meta, exits, file)
        except (KeyError, ValueError) as error:
            raise damaged(path, error, advice) from error

    @property
    def digest(self) -> str:
        """The sha256 of the file; empty before there is one."""
        return hashlib.sha256(self.file).hexdigest() if self.file else ""

    @property
    def outdated(self) -> tuple[str, ...]:
        """The cuts whose own thresholds an older splitpoint chose: not what their outcomes say today."""
        wanted = self.meta.agreement
        return tuple(
            cut
            for cut, found in self.by_cut.items()
            if found.meta.threshold != found.outcomes.threshold_for(wanted)
        )

    def with_agreement(self, agreement: float) -> "BundleExits":
        """Return the same exits with thresholds for this agreement; UsageError for what is no share."""
        check_agreement(agreement)
        exits = {
            cut: replace(
                found,
                meta=found.meta.model_copy(
                    update={"threshold": found.outcomes.threshold_for(agreement)}
                ),
            )
            for cut, found in self.by_cut.items()
        }
        meta = self.meta.model_copy(
            update={
                "agreement": agreement,
                "exits": tuple(found.meta for found in exits.values()),
            }
        )
        return BundleExits(meta, exits)

    def save(self, folder: Path) -> None:
        """Write the exits into a bundle's folder; they appear whole or not at all."""
        arrays: dict[str, Any] = {}
        for cut, found in self.by_cut.items():
            arrays[f"{cut}/graph"] = np.frombuffer(found.graph, np.uint8)
            arrays[f"{cut}/confidence"] = found.outcomes.confidence
            arrays[f"{cut}/agrees"] = found.outcomes.agrees
            if found.outcomes.right is not None and found.outcomes.whole_right is not None:
                arrays[f"{cut}/right"] = found.outcomes.right
                arrays["whole_right"] = found.outcomes.whole_right
        write_archive(folder / EXITS_FILE, self.meta, arrays)

    def find(self, cut: str) -> Exit:
        """Return the exit at a cut; UnknownNameError names those that exist."""
        try:
            return self.by_cut[cut]
        except KeyError:
            raise UnknownNameError(
                f"no exit was trained at {cut!r}. There are exits at: {', '.join(self.by_cut)}."
            ) from None

    def costs(self, threshold: float | None = None) -> dict[str, ExitCost]:
        """Return what a plan needs of every exit; see `Exit.cost`."""
        return {cut: found.cost(threshold) for cut, found in self.by_cut.items()}


def check_agreement(agreement: float) -> None:
    """Raise UsageError for an agreement that is no share."""
    if not 0 < agreement <= 1:
        raise UsageError(f"an agreement of {agreement:g} has no meaning. Give a share, as 0.99.")


def open_exit(found: Exit, cut: Cut, output: TensorSpec, options: RuntimeOptions) -> Stage:
    """Load an exit: from a frontier to scores, named like the model's output, and CONFIDENCE [batch]."""
    confidence = TensorSpec(CONFIDENCE, "float32", (-1,))
    graph = ModelFile(f"the exit of {cut.id}", found.graph, remake="train the exits again")
    return open_stage(graph, cut.frontier, (output, confidence), options)


def _exit(meta: ExitMeta, arrays: Mapping[str, Any]) -> Exit:
    cut = meta.cut
    confidence, agrees = arrays[f"{cut}/confidence"], arrays[f"{cut}/agrees"]
    right, whole_right = arrays.get(f"{cut}/right"), arrays.get("whole_right")
    known = [array for array in (agrees, right, whole_right) if array is not None]
    if confidence.dtype != np.float32 or any(array.dtype != np.bool_ for array in known):
        raise ValueError(f"the outcomes of {cut} are of the wrong type")
    if confidence.ndim != 1 or any(array.shape != confidence.shape for array in known):
        raise ValueError(f"the outcomes of {cut} are of the wrong shape")
    outcomes = Outcomes(confidence, agrees, right, whole_right)
    return Exit(meta, arrays[f"{cut}/graph"].tobytes(), outcomes)
