"""A version of a bundle: one name, one content, a number, and its place among the versions of that name."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import CALIBRATION_FILE
from partitioner.bundle.exits import EXITS_FILE
from partitioner.bundle.manifest import MANIFEST_FILE
from protos.names import EDGE, model_name
from protos.serving.answers import ServedModel

SHORTEST_DIGEST = 12
"""Hex digits by which a version may be asked for: more than any number has."""

_IDENTITY = (MANIFEST_FILE, CALIBRATION_FILE, EXITS_FILE)
_NUMBER_BITS = 31


@dataclass(frozen=True, kw_only=True)
class Model(ServedModel):
    """The tail of a cut, of one version; the cut `cloud` is the whole model."""

    owner: "Version"
    cut: str

    @property
    def bundle_name(self) -> str:
        """The bundle that it is of."""
        return self.owner.name

    @property
    def bundle(self) -> Bundle:
        """What it is a part of."""
        return self.owner.bundle

    @property
    def tail(self) -> tuple[str, str]:
        """What its session is kept under: versions that differ in calibration or exits alone share it."""
        return self.bundle.digest, self.cut


@dataclass(frozen=True, eq=False)
class Version:
    """A bundle as one version of its name.

    `release`: of its signature, which outranks any time; 0: none. `changed_ns`: when manifest, calibration
    or exits were last written.
    """

    bundle: Bundle
    changed_ns: int = 0
    release: int = 0

    def __repr__(self) -> str:
        return f"<Version {self.number} of {self.name}: {self.digest[:12]}…, at {self.bundle.path}>"

    @classmethod
    def of(cls, bundle: Bundle, release: int = 0) -> "Version":
        """Return a bundle that was loaded from a folder as a version, of the release that was signed."""
        return cls(bundle, changed_ns(bundle.path), release)

    @property
    def name(self) -> str:
        """The name of its bundle."""
        return self.bundle.name

    @property
    def digest(self) -> str:
        """Over all of it, calibration and exits included; see Bundle.version_digest."""
        return self.bundle.version_digest

    @cached_property
    def number(self) -> str:
        """What OIP calls the version: its release, or else an integer that follows from its digest.

        So it is the same on every server and after every restart, which a count would not be; Triton's
        clients want an integer.
        """
        return str(self.release or int(self.digest[:8], 16) % (1 << _NUMBER_BITS))

    @property
    def rank(self) -> tuple[int, int, str]:
        """The highest is the default of a name: the latest release, or else the one written last."""
        return self.release, self.changed_ns, self.digest

    def is_called(self, version: str) -> bool:
        """Tell whether a caller means this one by `version`: its number, or the start of a digest."""
        if version == self.number:
            return True
        digests = (self.digest, self.bundle.digest)
        return len(version) >= SHORTEST_DIGEST and any(d.startswith(version) for d in digests)

    def __str__(self) -> str:
        digests = f"digest {self.bundle.digest[:12]}…, version digest {self.digest[:12]}…"
        return f"{self.number} ({digests})"


def changed_ns(folder: Path) -> int:
    """Return when manifest, calibration or exits of a bundle were last written; 0 where none is there."""
    found = 0
    for name in _IDENTITY:
        try:
            found = max(found, (folder / name).stat().st_mtime_ns)
        except OSError:
            continue
    return found


def models_of(versions: Sequence[Version]) -> dict[str, tuple[Model, ...]]:
    """Return what is served of the versions of one name, the default first: models of each by their name."""
    found: dict[str, tuple[Model, ...]] = {}
    numbers = tuple(version.number for version in versions)
    for version in versions:
        for model in _models(version, numbers):
            found[model.name] = (*found.get(model.name, ()), model)
    return found


def _models(version: Version, numbers: tuple[str, ...]) -> list[Model]:
    bundle = version.bundle
    return [
        Model(
            name=model_name(bundle.name, cut.id),
            version=version.number,
            versions=numbers,
            owner=version,
            cut=cut.id,
            inputs=cut.frontier,
            outputs=tuple(spec for spec in bundle.outputs if spec.name in cut.tail_outputs),
        )
        for cut in bundle.cuts.values()
        if cut.id != EDGE
    ]
