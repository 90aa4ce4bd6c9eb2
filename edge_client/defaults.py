"""Numbers of the edge that are no options, or that several rooms share."""

from typing import Literal

from partitioner.common.defaults import ExitThreshold as ExitThreshold

OnFailure = Literal["finish", "fail"]

MAX_QUEUE = 64
STREAM_WINDOW = 32

TELEMETRY_KEPT = 360
"""Snapshots that wait for the cloud: an hour's at one in ten seconds; then the oldest makes way."""

OFFLINE_AFTER_S = 1.0
"""The cloud may be away for so long before the edge's health is OFFLINE."""
DEGRADED_SHARE = 0.1
"""From this share of the last frames failing on, the edge's health is DEGRADED."""
HEALTHY_SHARE = 0.02
"""Down to this share of the last frames failing, a degraded edge may become HEALTHY again."""
SETTLE_S = 3.0
"""All must be well for so long before a degraded edge is HEALTHY."""
FAILING_HALF_LIFE_S = 2.0
"""The weight of a frame in these shares halves in so long."""

STATE_PLACE = "$STATE_DIRECTORY, else $XDG_STATE_HOME/splitpoint, else ~/.local/state/splitpoint"
"""Where `default_state_folder` finds the folder of what a device has to remember."""
