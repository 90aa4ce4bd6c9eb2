"""Traces written by hand."""

from partitioner.network.step_function import Steps
from partitioner.network.trace import Trace


def trace(*rates: tuple[float, float], duration: float = 100.0, rtt_s: float = 0.02) -> Trace:
    """An uplink of Mbit/s from times on, and a downlink of 10 Mbit/s."""
    times, mbps = zip(*rates, strict=True)
    up = Steps(times, [1e6 * rate for rate in mbps], duration, "hold")
    return Trace("t", up).filled(rtt_s, 10e6)
