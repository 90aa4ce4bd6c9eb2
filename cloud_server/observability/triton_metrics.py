"""Metrics that Triton has, too, under Triton's names to the letter and with its labels among ours.

So dashboards, gateways and scalers that know Triton know this server. Its counters lack the ending `_total`,
which Prometheus's library gives to every counter; hence they are written without a type.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric

from cloud_server.observability.tally import Duration, Tally
from protos.serving.answers import ServedKey

MODEL_LABELS = ("model", "version", "bundle", "cut")

LabelledTallies = Sequence[tuple[tuple[str, str, str, str], Tally]]
"""Counts with the values of these labels."""

_REASONS = {
    "RESOURCE_EXHAUSTED": "REJECTED",
    "UNAVAILABLE": "REJECTED",
    "DEADLINE_EXCEEDED": "REJECTED",
    "CANCELLED": "CANCELED",
    "INTERNAL": "BACKEND",
    "DATA_LOSS": "BACKEND",
}
"""Triton's reasons for failures by the status code; others: OTHER."""


def _us(duration: Duration) -> int:
    return duration.ns // 1000


_COUNTERS: tuple[tuple[str, str, Callable[[Tally], int]], ...] = (
    (
        "nv_inference_request_success",
        "Requests that were answered.",
        lambda tally: tally.total.count,
    ),
    ("nv_inference_count", "Rows of the requests that were answered.", lambda tally: tally.rows),
    ("nv_inference_exec_count", "Runs of the graph.", lambda tally: tally.executions),
    (
        "nv_inference_request_duration_us",
        "Microseconds from arrival to answer, together.",
        lambda tally: _us(tally.total),
    ),
    (
        "nv_inference_queue_duration_us",
        "Microseconds of waiting, together.",
        lambda tally: _us(tally.queue),
    ),
    (
        "nv_inference_compute_input_duration_us",
        "Microseconds of decoding and checking tensors, together.",
        lambda tally: _us(tally.decode),
    ),
    (
        "nv_inference_compute_infer_duration_us",
        "Microseconds of running the graph, together; of a batch, each request's share by rows.",
        lambda tally: _us(tally.compute),
    ),
    (
        "nv_inference_compute_output_duration_us",
        "Microseconds of making bytes of the outputs, together.",
        lambda tally: _us(tally.encode),
    ),
)


def triton_metrics(tallies: LabelledTallies) -> Iterator[Metric]:
    """Yield what Triton has of requests that have ended."""
    for name, about, value in _COUNTERS:
        family = Metric(name, about, "unknown")
        for labels, tally in tallies:
            family.add_sample(name, dict(zip(MODEL_LABELS, labels, strict=True)), value(tally))
        yield family
    failures = Metric(
        "nv_inference_request_failure",
        "Requests that failed: REJECTED, CANCELED, BACKEND (this server) or OTHER (the request).",
        "unknown",
    )
    for labels, tally in tallies:
        reasons: Counter[str] = Counter()
        for code, count in dict(tally.failures).items():
            reasons[_REASONS.get(code, "OTHER")] += count
        for reason, count in reasons.items():
            named = {**dict(zip(MODEL_LABELS, labels, strict=True)), "reason": reason}
            failures.add_sample(failures.name, named, count)
    yield failures


def pending_requests(
    models: Mapping[ServedKey, tuple[str, str]], pending: Mapping[ServedKey, int]
) -> Metric:
    """Return how many requests of each of these models (with their bundles and cuts) are in the server."""
    waiting = GaugeMetricFamily(
        "nv_inference_pending_request_count",
        "Requests that wait or are computed now.",
        labels=MODEL_LABELS,
    )
    for key, where in models.items():
        waiting.add_metric([*key, *where], pending.get(key, 0))
    return waiting
