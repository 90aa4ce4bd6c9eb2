"""Accuracy and agreement in words."""

from partitioner.bundle.accuracy import Accuracy


def format_points(found: Accuracy | None) -> str:
    """Return percentage points against the whole model, with their sign: a loss is below 0."""
    return "" if found is None else f"{0.0 - found.drop_points:+.2f}".replace("+0.00", "0.00")
