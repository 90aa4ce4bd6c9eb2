"""What benchmarks.fidelity makes of its frames: errors of predictions, as they came and at equal pace."""

from dataclasses import dataclass
from statistics import mean, median
from typing import Any

import numpy as np

from benchmarks.pace import Pace
from edge_client.frames.result import Result
from partitioner.planning.option import Option

PREDICTORS = ("set", "probed", "seen")
_CASE = ("model", "kind", "pause_s")
_AT_PACE = ("set", "probed")
"""Predictors that know of no pace but the profile's."""


@dataclass(frozen=True)
class Run:
    """One frame, and how many times slower than in its profile each side was around it."""

    result: Result
    pace: Pace

    @property
    def at_pace_s(self) -> float:
        """Its latency with what was computed at the pace of the profiles."""
        timings = self.result.timings
        cloud_s = timings.cloud_s + timings.queue_s
        others_s = timings.latency_s - timings.edge_s - cloud_s
        return others_s + timings.edge_s / self.pace.edge_s + cloud_s / self.pace.cloud_s


Runs = dict[Option, list[Run]]


def compared(option: Option, predicted: dict[str, float], runs: list[Run]) -> dict[str, Any]:
    """Return what one option was predicted to take, and what it took, in all and in parts."""
    results = [run.result for run in runs]
    timings = [result.timings for result in results]
    measured = median(timing.latency_s for timing in timings)
    at_pace = median(run.at_pace_s for run in runs)
    return {
        "option": option.label,
        "measured_s": measured,
        "measured_at_pace_s": at_pace,
        "predicted_s": predicted,
        "error": {name: predicted_s / measured - 1 for name, predicted_s in predicted.items()},
        "error_at_pace": {name: predicted[name] / at_pace - 1 for name in _AT_PACE},
        "pace": {
            "edge": median(run.pace.edge_s for run in runs),
            "cloud": median(run.pace.cloud_s for run in runs),
        },
        "profiled": {
            "edge_s": option.edge_s, "network_s": option.network_s, "cloud_s": option.cloud_s,
            "upload_bytes": option.upload_bytes,
        },
        "parts": {
            "edge_s": median(timing.edge_s for timing in timings),
            "network_s": median(timing.network_s for timing in timings),
            "cloud_s": median(timing.cloud_s + timing.queue_s for timing in timings),
            "wait_s": median(timing.wait_s for timing in timings),
            "upload_bytes": mean(result.upload_bytes for result in results),
        },
    }  # fmt: skip


def regret_of(options: list[dict[str, Any]], predictor: str) -> float:
    """Return how much slower the option that was predicted to be fastest is than the fastest."""
    chosen = min(options, key=lambda option: float(option["predicted_s"][predictor]))
    return float(chosen["measured_s"] / min(option["measured_s"] for option in options) - 1)


def summaries(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the errors of every case: a model, a kind of link and a pause."""
    cases = dict.fromkeys(tuple(row[name] for name in _CASE) for row in rows)
    return [
        dict(zip(_CASE, case, strict=True))
        | _summary([row for row in rows if tuple(row[name] for name in _CASE) == case])
        for case in cases
    ]


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    def of(predictor: str, kind: str) -> dict[str, float]:
        errors = [option[kind][predictor] for row in rows for option in row["options"]]
        return {
            "error_median": float(np.median(np.abs(errors))),
            "error_p95": float(np.percentile(np.abs(errors), 95)),
            "too_low": sum(error < 0 for error in errors),
            "runs": len(errors),
        }

    def regret(predictor: str) -> dict[str, float]:
        regrets = [row["regret"][predictor] for row in rows]
        return {"regret_median": float(np.median(regrets)), "regret_worst": max(regrets)}

    found = {name: of(name, "error") | regret(name) for name in PREDICTORS}
    return found | {f"{name}_at_pace": of(name, "error_at_pace") for name in _AT_PACE}
