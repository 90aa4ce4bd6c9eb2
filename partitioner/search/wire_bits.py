"""Bits that a float takes on the wire where accuracy was measured: as few as a plan allows there."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from partitioner.bundle.accuracy import is_allowed
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import Cut


@dataclass(frozen=True)
class WireBits:
    """The fewest bits a float that lose no more than a plan allows; infinite where only exact values do.

    A value that crosses at several cuts may take the fewest of them, so that what a minimum cut pays for
    a frontier is never more than its cut needs.
    """

    cuts: Mapping[frozenset[str], float] = field(default_factory=dict)
    """By frontier; one that is missing was not measured."""
    values: Mapping[str, float] = field(default_factory=dict)

    def at(self, frontier: Iterable[str]) -> float | None:
        """Return the bits at a cut; None where nothing was measured there."""
        return self.cuts.get(frozenset(frontier))

    def is_understated(self, frontier: tuple[str, ...], assumed: float) -> bool:
        """Tell whether a cut needs more bits than its values were priced at, under assumed ones."""
        needed = self.at(frontier)
        priced = max(assumed, *(self.values.get(value, 0.0) for value in frontier))
        return needed is not None and needed > priced


NOTHING_MEASURED = WireBits()


def measured_bits(bundle: Bundle, accuracy_drop: float | None = None) -> WireBits:
    """Return what the bundle's calibration measured, for a bound in points (None: that of a plan)."""
    cuts = {
        frozenset(spec.name for spec in cut.frontier): bits
        for cut in bundle.manifest.cuts
        if (bits := _fewest(bundle, cut, accuracy_drop)) is not None
    }
    values: dict[str, float] = {}
    for frontier, bits in cuts.items():
        for value in frontier:
            values[value] = min(bits, values.get(value, math.inf))
    return WireBits(cuts, values)


def _fewest(bundle: Bundle, cut: Cut, accuracy_drop: float | None) -> float | None:
    known = bundle.calibration.accuracies if bundle.calibration else {}
    measured = [accuracy for (at, _), accuracy in known.items() if at == cut.id]
    floats = [spec for spec in cut.frontier if spec.dtype.startswith("float")]
    count = sum(math.prod(spec.sized()) for spec in floats)
    if not measured or not count:
        return None
    others = sum(spec.nbytes() for spec in cut.frontier if spec not in floats)
    return min(
        (
            8 * max(0.0, one.payload_bytes - others) / count
            for one in measured
            if is_allowed(cut.id, one.codec, one, accuracy_drop, asked=False)
        ),
        default=math.inf,
    )
