"""A profile: what one machine measured of one bundle. Plain data, JSON on the disk."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import Field, ValidationError

from partitioner.common.arguments import need
from partitioner.common.files import read_document, whole_file
from partitioner.common.frozen_model import FrozenModel
from partitioner.common.units import plural
from protos.errors import ProfileError
from protos.names import EDGE

PROFILE_SCHEMA_VERSION: Final = 1

InputOrigin = Literal["samples", "given", "random"]

Seconds = Annotated[float, Field(ge=0, le=1e9)]
Bytes = Annotated[int, Field(ge=0, le=1 << 60)]
"""Bounded far beyond any machine, so that no sum or product of them leaves the numbers of JSON."""


_INTERVAL = 0.958
"""Half of the 95 % interval of a median of n normal samples is this times (p90 - p10) / sqrt(n):
1.96 · 1.2533 · sigma / sqrt(n), and sigma is (p90 - p10) / 2.563."""
_NOISY = 0.5
"""On a quiet machine times vary by a tenth; from here on their medians say little."""


class Timing(FrozenModel):
    """Seconds of repeated runs, warm: the median, and the 10th and 90th percentile as their spread."""

    median_s: Seconds
    p10_s: Seconds
    p90_s: Seconds
    repeats: int = Field(ge=1)

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Timing":
        """Return median and spread of repeats."""
        p10, median, p90 = np.percentile(seconds, (10, 50, 90)).tolist()
        return cls(median_s=median, p10_s=p10, p90_s=p90, repeats=len(seconds))

    @property
    def error_s(self) -> float:
        """Half of the 95 % interval of the median."""
        return _INTERVAL * (self.p90_s - self.p10_s) / math.sqrt(self.repeats)


class Estimate(FrozenModel):
    """What a stage takes at the machine's own pace, in line with the other stages.

    A machine's own pace is that at which nothing else slows it down, see `undisturbed`; in line: a head
    that lies in another takes no longer than that, see `under_order`.
    """

    seconds: Seconds
    alone_s: Seconds
    """The median of the repeats at that pace, before the other stages have their say."""
    error_s: Seconds
    """Half of its 95 % interval."""
    repeats: int = Field(ge=1)
    """How many repeats it is the median of."""


class StageProfile(FrozenModel):
    """One head or tail: its time in a row, and the resident memory that its session takes."""

    timing: Timing
    """Of all repeats, as they came."""
    memory_bytes: Bytes
    estimate: Estimate | None = Field(default=None, repr=False)
    """None: measured before there were any."""
    resume_s: Seconds = 0.0
    """What it takes longer in a frame that comes after a pause, since caches and core have cooled."""

    @property
    def seconds(self) -> float:
        """What the stage takes: the estimate, or in an older profile the median."""
        return self.estimate.seconds if self.estimate else self.timing.median_s

    @property
    def error_s(self) -> float:
        """By how much that may be off, as half of a 95 % interval of what was sampled."""
        return self.estimate.error_s if self.estimate else self.timing.error_s

    @property
    def frame_s(self) -> float:
        """Seconds in a frame of a stream that pauses between frames."""
        return self.seconds + self.resume_s

    def scaled(self, factor: float) -> "StageProfile":
        """Return the stage on a machine that takes `factor` times as long."""

        def times(found: FrozenModel, *names: str) -> dict[str, float]:
            return {name: getattr(found, name) * factor for name in names}

        timing, estimate = self.timing, self.estimate
        slower = timing.model_copy(update=times(timing, "median_s", "p10_s", "p90_s"))
        if estimate:
            changes = times(estimate, "seconds", "alone_s", "error_s")
            estimate = estimate.model_copy(update=changes)
        resume_s = self.resume_s * factor
        changed = {"timing": slower, "estimate": estimate, "resume_s": resume_s}
        return self.model_copy(update=changed)


class OrderBreak(FrozenModel):
    """Two stages of which what was timed of the smaller one is longer than what was timed of the larger."""

    side: Literal["head", "tail"]
    smaller: str
    """The cut whose head, or tail, lies in that of `larger`."""
    larger: str
    share: float = Field(ge=0)
    """By how much longer, beyond what writing and reading values takes: of the larger one's median."""


class CodecProfile(FrozenModel):
    """One codec on the frontier of one cut; seconds once in a frame, behind or before a stage."""

    encode_s: Seconds
    decode_s: Seconds
    upload_bytes: float = Field(ge=0, le=1 << 60)
    """Mean size of the whole request message, header and all."""
    resume_s: Seconds = 0.0
    """Of encode_s, what encoding takes longer in a frame than in a row."""


class CutProfile(FrozenModel):
    """One cut on this machine; None where a side has nothing to run."""

    head: StageProfile | None
    tail: StageProfile | None
    frontier_bytes: Bytes
    """Uncompressed, one sample."""
    download_bytes: Bytes
    """The whole answer message, header and all."""
    codecs: dict[str, CodecProfile]


class Machine(FrozenModel):
    """The fingerprint of a machine and of what ran on it."""

    hostname: str
    cpu: str
    cores: int
    memory_bytes: int
    system: str
    python: str
    runtime: str
    provider: str
    accelerator: str = ""
    """What the provider computes with beside the CPU, such as a GPU; empty: nothing, or not known."""
    threads: int


class Profile(FrozenModel):
    """All that one machine measured of one bundle."""

    schema_version: Literal[1] = PROFILE_SCHEMA_VERSION
    splitpoint: str
    bundle: str
    bundle_digest: str
    machine: Machine
    measured_at: str
    """UTC, ISO 8601."""
    inputs: InputOrigin
    """What it ran on: the bundle's samples, inputs given, or random ones (then codec sizes are guesses)."""
    cuts: dict[str, CutProfile]
    node_s: tuple[float, ...] | None = None
    """Seconds of each node of the bundle's graph, in its order; they add up to the whole model's."""
    resume_s: Seconds = 0.0
    """What a frame takes here beside its stages: waking up, and being handed to a worker."""
    crossing_s: Seconds = 0.0
    """What a frame that is sent from here takes here besides: being handed over, and its answer read."""
    frame_factors: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...] = ()
    """How many times as long as the median frame those took here that came after a pause, sorted; empty:
    measured before this was."""
    calibration_digest: str = ""
    """Of the ranges that low-bit codecs were measured with; empty: there were none."""
    order_breaks: tuple[OrderBreak, ...] = ()
    """Where the medians of heads, and of tails, break the order of the cuts most; estimates never do."""
    scale: float = Field(default=1.0, gt=0)
    """Not 1: the times were not measured, but multiplied by this for another machine."""

    def __repr__(self) -> str:
        scaled = f", scaled by {self.scale:.3g}" if self.scale != 1 else ""
        where = f"{self.machine.hostname} ({self.machine.cpu})"
        what = f"{plural(len(self.cuts), 'cut')} measured {self.measured_at}"
        return f"<Profile of {self.bundle} on {where}: {what}{scaled}>"

    @property
    def heads_only(self) -> bool:
        """True for a device that could not measure the cut `edge`, since it holds no more than heads."""
        return EDGE not in self.cuts

    @property
    def spread(self) -> float:
        """How much the times of heads and tails vary: from p10 to p90, as a share of their medians."""
        stages = [stage for cut in self.cuts.values() for stage in (cut.head, cut.tail) if stage]
        medians_s = sum(stage.timing.median_s for stage in stages)
        spans_s = sum(stage.timing.p90_s - stage.timing.p10_s for stage in stages)
        return spans_s / medians_s if medians_s else 0.0

    @property
    def is_noisy(self) -> bool:
        """Times vary so much that their medians say little, as if something else had run there."""
        return self.spread > _NOISY

    @classmethod
    def load(cls, path: str | Path, measure: str = "splitpoint profile") -> "Profile":
        """Read a profile; ProfileError when it is missing, damaged or of another schema.

        `measure` is the command that makes it, for the error's text.
        """
        try:
            document = json.loads(read_document(Path(path)))
        except FileNotFoundError as error:
            raise ProfileError(f"there is no profile {path}. Measure it: {measure}.") from error
        except (OSError, ValueError, RecursionError) as error:
            why = error.strerror if isinstance(error, OSError) else f"it is no JSON: {error}"
            raise ProfileError(
                f"profile {path} cannot be read: {why}. Measure it again: {measure}."
            ) from error
        version = document.get("schema_version") if isinstance(document, dict) else None
        if isinstance(version, int) and version != PROFILE_SCHEMA_VERSION:
            raise ProfileError(
                f"profile {path} has schema version {version}, and this splitpoint reads "
                f"{PROFILE_SCHEMA_VERSION}. Measure it again: {measure}."
            )
        return cls.parse(document, str(path), measure)

    @classmethod
    def of(cls, role: str, profile: "Profile | str | Path") -> "Profile":
        """Return the profile of a side, that may be given as its file. Raises ProfileError, UsageError."""
        if isinstance(profile, str | Path):
            return cls.load(profile)
        need(role, profile, Profile, wanted="a Profile or the path of its file")
        return profile

    @classmethod
    def parse(cls, document: object, where: str, measure: str = "splitpoint profile") -> "Profile":
        """Return the profile in a decoded JSON document; ProfileError names `where` it came from."""
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "the document"
            raise ProfileError(
                f"{where} is no profile: {field}: {first['msg']}. Measure it again: {measure}."
            ) from error

    def save(self, path: Path) -> None:
        """Write the profile; the file appears whole or not at all. Raises FileError."""
        with whole_file(path) as partial:
            partial.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(self.model_dump_json(indent=1) + "\n")

    def scaled(self, factor: float) -> "Profile":
        """Return the profile of a machine that takes `factor` times as long for everything."""
        cuts = {
            name: cut.model_copy(
                update={
                    "head": cut.head.scaled(factor) if cut.head else None,
                    "tail": cut.tail.scaled(factor) if cut.tail else None,
                    "codecs": {
                        codec: found.model_copy(
                            update={
                                "encode_s": found.encode_s * factor,
                                "decode_s": found.decode_s * factor,
                                "resume_s": found.resume_s * factor,
                            }
                        )
                        for codec, found in cut.codecs.items()
                    },
                }
            )
            for name, cut in self.cuts.items()
        }
        nodes = None if self.node_s is None else tuple(seconds * factor for seconds in self.node_s)
        return self.model_copy(
            update={
                "cuts": cuts,
                "node_s": nodes,
                "resume_s": self.resume_s * factor,
                "crossing_s": self.crossing_s * factor,
                "scale": self.scale * factor,
            }
        )
