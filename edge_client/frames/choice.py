"""The cut and the codec of the next frame, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import Cut
from partitioner.planning.option import Option
from protos.codecs.base import Codec
from protos.codecs.registry import RAW, codecs_for, get_codec
from protos.errors import UsageError
from protos.names import EDGE


@dataclass(frozen=True)
class Choice:
    """A cut, the codec for its frontier, and the reason."""

    cut: Cut
    codec: Codec
    reason: str
    option: Option | None = None
    """Its row of the plan; None without a plan."""
    exits_from: float | None = None
    """Confidence from which the exit at the cut answers, by the policy; None: as the client is told."""

    def __repr__(self) -> str:
        return f"<Choice of {self.label}: {self.reason}>"

    @property
    def label(self) -> str:
        """Cut and codec as people write them: `cut-05/raw`, `edge`."""
        return self.cut.id if self.cut.id == EDGE else f"{self.cut.id}/{self.codec.name}"


def choose(bundle: Bundle, cut_id: str, codec: str | None, reason: str) -> Choice:
    """Return the choice of a cut and a codec (None: raw).

    Raises UnknownNameError, or UsageError when the codec takes nothing of what crosses there.
    """
    cut = bundle.cut(cut_id)
    chosen = RAW if codec is None or cut_id == EDGE else get_codec(codec, bundle.ranges)
    if cut.frontier and not any(chosen.accepts(spec) for spec in cut.frontier):
        crossing = ", ".join(f"{spec.name} {spec}" for spec in cut.frontier)
        raise UsageError(
            f"codec {chosen.name} cannot carry what crosses at cut {cut_id!r}: {crossing}. "
            f"Use {_listed(codecs_for(cut.frontier, bundle.ranges))} there, or another cut."
        )
    return Choice(cut, chosen, reason)


def _listed(codecs: Sequence[Codec]) -> str:
    return " or ".join(codec.name for codec in codecs)
