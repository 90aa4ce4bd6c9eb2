"""Accuracy and agreement as JSON and words."""

from typing import Any

from partitioner.bundle.accuracy import Accuracy


def format_points(found: Accuracy | None) -> str:
    """Return percentage points against the whole model, with their sign: a loss is below 0."""
    return "" if found is None else f"{0.0 - found.drop_points:+.2f}".replace("+0.00", "0.00")


def accuracy_json(found: Accuracy) -> dict[str, Any]:
    """Return what was measured of one (cut, codec), with what follows from it."""
    counts = found.model_dump(mode="json")
    return {
        **counts,
        "measure": found.measure,
        "drop_points": found.drop_points,
        "interval_points": found.interval_points,
    }
