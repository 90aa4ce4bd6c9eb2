"""What `calibrate` found, for people and as JSON."""

from typing import Any

from partitioner.bundle.accuracy import Accuracy
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import BundleCalibration
from partitioner.common.units import SIZES, ColumnUnit
from partitioner.reports.accuracy import Basis, cuts_by_basis, each_cuts_text, format_points
from partitioner.terminal.folding_table import FoldingTable, new_table


def calibration_json(bundle: Bundle, found: BundleCalibration) -> dict[str, Any]:
    """Return all that `calibrate` measured."""
    meta = found.meta
    return {
        "bundle": bundle.name,
        "bundle_digest": bundle.digest,
        "digest": meta.digest,
        "measured": [basis.to_dict(cuts) for basis, cuts in cuts_by_basis(bundle, found).items()],
        "values": [value.model_dump(mode="json") for value in meta.values],
        "accuracies": [accuracy.to_dict() for accuracy in meta.accuracies],
    }


def calibration_table(bundle: Bundle, found: BundleCalibration) -> FoldingTable:
    """Return bytes and lost points of every codec at every cut, and of what where cuts differ in it."""
    codecs = list(dict.fromkeys(accuracy.codec for accuracy in found.meta.accuracies))
    title = f"{bundle.name}: bytes of the encoded frontier, and percentage points"
    sizes = {cut.id: sum(spec.nbytes() for spec in cut.frontier) for cut in bundle.cuts.values()}
    raw = ColumnUnit.of(sizes.values(), SIZES)
    columns = {codec: _unit_of(codec, found) for codec in codecs}
    headers = (f"{unit.header(codec)} points" for codec, unit in columns.items())
    of = _points_of(bundle, found)
    table = new_table(
        title, "cut", *["points of"] * bool(of), raw.header("float32"), *headers, left=1 + bool(of)
    )
    for cut in bundle.cuts.values():
        cells = [found.accuracies.get((cut.id, codec)) for codec in codecs]
        if any(cells):
            losses = (_loss_cell(cell, columns[cell.codec]) if cell else "" for cell in cells)
            own = [of[cut.id]] if of else []
            table.add_row(cut.id, *own, raw.write(sizes[cut.id]), *losses)
    return table


def _points_of(bundle: Bundle, found: BundleCalibration) -> dict[str, str]:
    """Return what the points are of at every cut; empty where that is the same at all."""
    alike = cuts_by_basis(bundle, found)
    if len(alike) < 2:
        return {}
    return {
        cut: f"{basis.measure}, {basis.samples}" for basis, cuts in alike.items() for cut in cuts
    }


def _unit_of(codec: str, found: BundleCalibration) -> ColumnUnit:
    measured = (one.payload_bytes for one in found.meta.accuracies if one.codec == codec)
    return ColumnUnit.of(measured, SIZES)


def _loss_cell(found: Accuracy, unit: ColumnUnit) -> str:
    return f"{unit.write(found.payload_bytes)} {format_points(found)}"


def calibration_text(bundle: Bundle, found: BundleCalibration) -> str:
    """Say what the points are of at which cuts, on which inputs, and how well they are known."""
    if not found.meta.accuracies:
        return "No codec but raw suits what crosses, as it holds no float32 of a fixed size: nothing is lost."
    worst = max(
        (a.interval_points[1] - a.drop_points for a in found.meta.accuracies if a.interval_points),
        default=0,
    )
    spread = (
        f" 95 % intervals (Wilson) reach up to {worst:.1f} points further, so that many gains and losses "
        "are chance."
        if worst
        else ""
    )
    alike = cuts_by_basis(bundle, found).items()
    what = each_cuts_text((f"{_what(basis)}; {basis.inputs_text}", cuts) for basis, cuts in alike)
    mixed = "Points of different inputs do not compare. " if len(alike) > 1 else ""
    return f"{mixed}Points are, + above the whole model and - below it, of {what}.{spread}"


def _what(basis: Basis) -> str:
    if basis.measure == "accuracy":
        share = 100 * basis.whole_right / basis.labelled
        return f"accuracy against labels, of which the whole model reaches {share:.2f} %"
    if basis.measure == "agreement":
        return "agreement with the whole model's strongest class"
    return "the whole model's output: 100 · |difference| / |output|"
