"""Accuracy and agreement in words, and which cuts were calibrated alike."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from partitioner.bundle.accuracy import Accuracy, Measure
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import BundleCalibration
from partitioner.common.units import plural


@dataclass(frozen=True)
class Basis:
    """What the points at a cut are of, and the inputs behind them.

    `calibrate --cuts` may use other inputs than those of the other cuts, with labels or without.
    """

    measure: Measure
    samples: int
    labelled: int
    whole_right: int
    range_samples: tuple[int, ...]
    """Inputs behind the ranges of the values that cross, each number once; none where none has ranges."""

    @property
    def inputs_text(self) -> str:
        """How many inputs are behind the ranges, and behind the points."""
        if not self.range_samples:
            return f"points from {plural(self.samples, 'input')}"
        least, most = self.range_samples[0], self.range_samples[-1]
        counts = f"{f'{least} to ' * (least < most)}{plural(most, 'input')}"
        return f"ranges from {counts}, points from {self.samples} others"

    def is_like(self, other: "Basis") -> bool:
        """Tell whether both are of the same points on as many inputs, whatever ranges they rest on."""
        return self == replace(other, range_samples=self.range_samples)

    def to_dict(self, cuts: Sequence[str]) -> dict[str, Any]:
        """Return it as plain data, with the cuts that it is of."""
        return {
            "cuts": list(cuts),
            "measure": self.measure,
            "samples": self.samples,
            "labelled": self.labelled,
            "range_samples": list(self.range_samples),
        }


def cuts_by_basis(bundle: Bundle, found: BundleCalibration) -> Mapping[Basis, Sequence[str]]:
    """Return the cuts that were calibrated alike; those of which there are most come first.

    A cut at which nothing has ranges is like every other on the same inputs.
    """
    cuts: dict[Basis, list[str]] = {}
    bases = {one.cut: _basis(bundle, found, one) for one in found.meta.accuracies}
    for cut, basis in sorted(bases.items(), key=lambda pair: not pair[1].range_samples):
        same = basis if basis.range_samples else next(filter(basis.is_like, cuts), basis)
        cuts.setdefault(same, []).append(cut)
    ordered = {basis: [cut for cut in bases if cut in at] for basis, at in cuts.items()}
    return dict(sorted(ordered.items(), key=lambda pair: -len(pair[1])))


def _basis(bundle: Bundle, found: BundleCalibration, one: Accuracy) -> Basis:
    counts = {found.range_samples.get(spec.name) for spec in bundle.cut(one.cut).frontier}
    known = tuple(sorted(count for count in counts if count is not None))
    return Basis(one.measure, one.samples, one.labelled, one.whole_right, known)


def each_cuts_text(cuts: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Return texts that hold at some cuts each: alone what holds at all, else with the cuts of each."""
    (first, where), *rest = cuts
    if not rest:
        return first
    others = "; ".join(f"{', '.join(at)}: {text}" for text, at in rest)
    return f"{others}; {'the other cuts' if len(where) > 1 else where[0]}: {first}"


def format_points(found: Accuracy | None) -> str:
    """Return percentage points against the whole model, with their sign: a loss is below 0."""
    return "" if found is None else f"{0.0 - found.drop_points:+.2f}".replace("+0.00", "0.00")
