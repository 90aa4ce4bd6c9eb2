"""What the records of edges and the lines of a link say, taken together."""

from collections.abc import Sequence

from container_stack import Log, Record

WINDOW = 10
"""Frames whose cuts are looked at together: a single one may only try an option."""


def health(edge: Log) -> str:
    """Return what the edge has last said of itself: healthy, degraded or offline."""
    said = (event.get("health") or event.get("telemetry") for event in reversed(edge.events))
    return str(next((each["health"] for each in said if each), ""))


def rate(link: Log) -> str:
    """Return the link's uplink in Mbit/s, as it has last said it."""
    return next(
        (str(event["link"]).split()[0] for event in reversed(link.events) if "time_s" in event), ""
    )


def by(records: Sequence[Record]) -> set[str]:
    """Return who served these frames."""
    return {record["served_by"] for record in records}


def settled(records: Sequence[Record]) -> str:
    """Return the cut in the middle of those of the last frames, by their depth."""
    cuts = sorted((str(record["cut"]) for record in records[-WINDOW:]), key=depth)
    return cuts[len(cuts) // 2]


def depth(cut: str) -> float:
    """Return how much of the model a cut leaves to the edge, by its place among the others."""
    if cut in ("cloud", "edge"):
        return 0.0 if cut == "cloud" else float("inf")
    return float(cut.removeprefix("cut-"))
