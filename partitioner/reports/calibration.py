"""What `calibrate` found, for people and as JSON."""

from typing import Any

from partitioner.bundle.accuracy import Accuracy
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import BundleCalibration
from partitioner.common.units import format_size
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
    table = new_table(title, "cut", "float32", *codecs, left=1)
    for cut in bundle.cuts.values():
        cells = [found.accuracies.get((cut.id, codec)) for codec in codecs]
        if any(cells):
            raw = format_size(sum(spec.nbytes() for spec in cut.frontier))
            table.add_row(cut.id, raw, *(_loss_cell(cell) for cell in cells))
    return table


def _loss_cell(found: Accuracy | None) -> str:
    if found is None:
        return ""
    return f"{format_size(found.payload_bytes)} {format_points(found)}"


def calibration_text(found: BundleCalibration) -> str:
    """Say what the points are of, and how well they are known."""
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
        f"{found.meta.range_samples} inputs, points from {first.samples} others.{spread}"
    )
