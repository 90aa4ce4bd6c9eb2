"""Snapshots of telemetry, as edges send them."""

import json
from typing import Any

from protos.telemetry import Telemetry


def snapshot(edge: str = "cam-1", number: int = 0, **more: Any) -> str:
    """What an edge tells of an interval, as JSON."""
    made = Telemetry(
        edge="cam-1", bundle="b", started_s=1.0, number=number, time_s=2.0, interval_s=1.0,
        health="healthy", health_reason="", cut="edge", reason="", served_by={}, fallbacks={},
        switches=0, upload_bytes=0, download_bytes=0, lost_snapshots=0, stages={},
    )  # fmt: skip
    return json.dumps({**made.model_dump(mode="json"), "edge": edge, **more})
