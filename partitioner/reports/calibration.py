"""What `calibrate` found, for people and as JSON."""

from typing import Any

from partitioner.bundle.accuracy import Accuracy
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import BundleCalibration
from partitioner.common.units import SIZES, ColumnUnit, plural
from partitioner.reports.accuracy import format_points
from partitioner.terminal.folding_table import FoldingTable, new_table


def calibration_json(bundle: Bundle, found: BundleCalibration) -> dict[str, Any]:
    """Return all that `calibrate` measured."""
    meta = found.meta
    return {
        "bundle": bundle.name,
        "bundle_digest": bundle.digest,
        "digest": meta.digest,
        "range_samples": meta.range_samples,
        "values": [value.model_dump(mode="json") for value in meta.values],
        "accuracies": [accuracy.to_dict() for accuracy in meta.accuracies],
    }


def calibration_table(bundle: Bundle, found: BundleCalibration) -> FoldingTable:
    """Return bytes and lost points of every codec at every cut."""
    codecs = list(dict.fromkeys(accuracy.codec for accuracy in found.meta.accuracies))
    title = f"{bundle.name}: bytes of the encoded frontier, and percentage points"
    sizes = {cut.id: sum(spec.nbytes() for spec in cut.frontier) for cut in bundle.cuts.values()}
    raw = ColumnUnit.of(sizes.values(), SIZES)
    columns = {codec: _unit_of(codec, found) for codec in codecs}
    headers = (f"{unit.header(codec)} points" for codec, unit in columns.items())
    table = new_table(title, "cut", raw.header("float32"), *headers, left=1)
    for cut in bundle.cuts.values():
        cells = [found.accuracies.get((cut.id, codec)) for codec in codecs]
        if any(cells):
            losses = (_loss_cell(cell, columns[cell.codec]) if cell else "" for cell in cells)
            table.add_row(cut.id, raw.write(sizes[cut.id]), *losses)
    return table


def _unit_of(codec: str, found: BundleCalibration) -> ColumnUnit:
    measured = (one.payload_bytes for one in found.meta.accuracies if one.codec == codec)
    return ColumnUnit.of(measured, SIZES)


def _loss_cell(found: Accuracy, unit: ColumnUnit) -> str:
    return f"{unit.write(found.payload_bytes)} {format_points(found)}"


def calibration_text(found: BundleCalibration) -> str:
    """Say what the points are of, and how well they are known."""
    if not found.meta.accuracies:
        return "No codec but raw suits what crosses, as it holds no float32 of a fixed size: nothing is lost."
    first = found.meta.accuracies[0]
    what = {
        "accuracy": f"accuracy against labels; the whole model reaches "
        f"{100 * first.whole_right / max(first.labelled, 1):.2f} %",
        "agreement": "agreement with the whole model's strongest class",
        "error": "the whole model's output: 100 · |difference| / |output|",
    }[first.measure]
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
    return (
        f"Points are of {what}; + is above the whole model, - below. Ranges come from "
        f"{plural(found.meta.range_samples, 'input')}, points from {first.samples} others.{spread}"
    )
