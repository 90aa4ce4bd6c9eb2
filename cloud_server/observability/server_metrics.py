"""The server's own metrics, made of its books when they are asked for.

Triton's metrics keep Triton's names (triton_metrics.py), gRPC's those of go-grpc-prometheus; what neither has
begins with `splitpoint_`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from cloud_server.observability.book_sums import CallCounts, ProcessCosts, RequestCounts
from cloud_server.observability.greeting_book import Greeting
from cloud_server.observability.tally import BUCKETS_NS, Batch, Histogram
from cloud_server.observability.triton_metrics import (
    MODEL_LABELS,
    LabelledTallies,
    pending_requests,
    triton_metrics,
)
from cloud_server.observability.upkeep_metrics import UpkeepFacts, upkeep_metrics
from protos.serving.answers import ServedKey

_ENDS = tuple(f"{end / 1e9:g}" for end in BUCKETS_NS)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_METHOD = ("grpc_type", "grpc_service", "grpc_method")


@dataclass(frozen=True, kw_only=True)
class ServedFacts:
    """What is served now. `models`: the bundle and the cut of each; `bundles`: name, version, digest.

    `tail_bytes`: of the tails in memory; `pages`: HTTP answers by method, route and status;
    `greetings`: by what edges found. `loads` and the
    like count since the server started. `replicas`: what each process beside this one takes. `upkeep`: what
    somebody has to look after.
    """

    models: Mapping[ServedKey, tuple[str, str]]
    bundles: Sequence[tuple[str, str, str]]
    tail_bytes: Mapping[ServedKey, int]
    pages: Mapping[tuple[str, str, str], int]
    greetings: Mapping[Greeting, int]
    loads: int
    failed_loads: int
    load_s: float
    evictions: int
    ready: bool
    replicas: Mapping[int, ProcessCosts]
    missing_replicas: int
    upkeep: UpkeepFacts


class ServerCollector(Collector):
    """Turns the books into metrics; `facts` tells what is served."""

    def __init__(
        self, requests: RequestCounts, calls: CallCounts, facts: Callable[[], ServedFacts]
    ) -> None:
        self._requests = requests
        self._calls = calls
        self._facts = facts

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: what there is is known when it is asked for."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Yield one family for each thing that is counted."""
        facts = self._facts()
        tallies = [
            ((*key, *facts.models.get(key, ("", ""))), tally)
            for key, tally in dict(self._requests.tallies).items()
        ]
        yield from triton_metrics(tallies)
        yield pending_requests(facts.models, self._requests.pending_by_model)
        yield from _requests(tallies)
        yield from _calls(self._calls)
        yield _pages(facts)
        yield _greetings(facts)
        yield from _facts_of(facts)
        yield from upkeep_metrics(facts.upkeep)


def add_server_metrics(
    registry: CollectorRegistry,
    requests: RequestCounts,
    calls: CallCounts,
    facts: Callable[[], ServedFacts],
) -> None:
    """Let a registry show the server, and the process that it is."""
    registry.register(ServerCollector(requests, calls, facts))
    ProcessCollector(registry=registry)


def _requests(tallies: LabelledTallies) -> Iterator[Metric]:
    failures = CounterMetricFamily(
        "splitpoint_request_failures",
        "Requests that failed, by the gRPC status code (REST has the HTTP status that belongs to it).",
        labels=(*MODEL_LABELS, "code"),
    )
    for labels, tally in tallies:
        for code, count in dict(tally.failures).items():
            failures.add_metric([*labels, code], count)
    yield failures
    for name, about, attribute in (
        (
            "splitpoint_quota_refusals",
            "Of these the requests that were refused for their device's own limit, not for a full server.",
            "over_quota",
        ),
        ("splitpoint_request_bytes", "Bytes of requests.", "request_bytes"),
        ("splitpoint_answer_bytes", "Bytes of answers.", "answer_bytes"),
    ):
        family = CounterMetricFamily(name, about, labels=MODEL_LABELS)
        for labels, tally in tallies:
            family.add_metric(labels, getattr(tally, attribute))
        yield family
    for name, about, attribute in (
        ("splitpoint_request_seconds", "Seconds from arrival to answer.", "total"),
        ("splitpoint_queue_seconds", "Seconds of waiting.", "queue"),
        ("splitpoint_compute_seconds", "Seconds of running the graph.", "compute"),
    ):
        times = HistogramMetricFamily(name, about, labels=MODEL_LABELS)
        for labels, tally in tallies:
            found: Histogram = getattr(tally, attribute)
            times.add_metric(labels, _cumulative(_ENDS, found.counts), found.ns / 1e9)
        yield times
    yield _batch_rows(tallies)


def _batch_rows(tallies: LabelledTallies) -> Metric:
    family = HistogramMetricFamily(
        "splitpoint_batch_rows", "Rows that one run of the graph computed.", labels=MODEL_LABELS
    )
    for labels, tally in tallies:
        batches = dict(tally.batches)
        counts = [0] * (len(_ROWS) + 1)
        for size, batch in batches.items():
            place = next((n for n, most in enumerate(_ROWS) if size <= most), len(_ROWS))
            counts[place] += batch.compute.count
        ends = tuple(map(str, _ROWS))
        family.add_metric(labels, _cumulative(ends, counts), _rows(batches.values()))
    return family


def _rows(batches: Iterable[Batch]) -> int:
    return sum(batch.rows for batch in batches)


def _calls(book: CallCounts) -> Iterator[Metric]:
    started = CounterMetricFamily("grpc_server_started", "Calls that have begun.", labels=_METHOD)
    handled = CounterMetricFamily(
        "grpc_server_handled",
        "Calls that have ended, by status code.",
        labels=(*_METHOD, "grpc_code"),
    )
    received = CounterMetricFamily(
        "grpc_server_msg_received", "Messages of clients.", labels=_METHOD
    )
    sent = CounterMetricFamily("grpc_server_msg_sent", "Messages to clients.", labels=_METHOD)
    times = HistogramMetricFamily(
        "grpc_server_handling_seconds",
        "Seconds from the beginning of a call to its end; a stream is one call.",
        labels=_METHOD,
    )
    for method, counts in dict(book.methods).items():
        labels = [method.kind, method.service, method.name]
        started.add_metric(labels, counts.started)
        for code, count in dict(counts.ended).items():
            handled.add_metric([*labels, code], count)
        received.add_metric(labels, counts.received)
        sent.add_metric(labels, counts.sent)
        times.add_metric(labels, _cumulative(_ENDS, counts.times.counts), counts.times.ns / 1e9)
    yield from (started, handled, received, sent, times)
    yield GaugeMetricFamily(
        "splitpoint_open_streams", "Streams of requests that are open now.", book.streams
    )
    yield GaugeMetricFamily(
        "splitpoint_connected_devices",
        "Devices with such a stream; connections where devices have no names.",
        book.devices,
    )


def _pages(facts: ServedFacts) -> Metric:
    family = CounterMetricFamily(
        "splitpoint_http_requests",
        "HTTP requests by method, route and status.",
        labels=("method", "route", "status"),
    )
    for page, count in dict(facts.pages).items():
        family.add_metric(page, count)
    return family


def _greetings(facts: ServedFacts) -> Metric:
    family = CounterMetricFamily(
        "splitpoint_greetings",
        "Greetings of edges by what they found: served (the version that they hold), other_version or "
        "no_bundle. An edge that finds none greets again, at least every 30 s.",
        labels=("outcome",),
    )
    for outcome, count in dict(facts.greetings).items():
        family.add_metric([outcome], count)
    return family


def _facts_of(facts: ServedFacts) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "splitpoint_ready", "1 while requests should be sent here.", float(facts.ready)
    )
    info = GaugeMetricFamily(
        "splitpoint_bundle_info",
        "1 for each version of a bundle that is served.",
        labels=("bundle", "version", "digest"),
    )
    for bundle in facts.bundles:
        info.add_metric(bundle, 1)
    yield info
    tails = GaugeMetricFamily(
        "splitpoint_tail_bytes", "Bytes of a tail in memory, as it was loaded.", labels=MODEL_LABELS
    )
    for key, size in facts.tail_bytes.items():
        tails.add_metric([*key, *facts.models.get(key, ("", ""))], size)
    yield tails
    yield GaugeMetricFamily("splitpoint_tails", "Tails in memory.", len(facts.tail_bytes))
    for name, about, value in (
        ("splitpoint_tail_loads", "Tails that were loaded.", facts.loads),
        ("splitpoint_tail_load_failures", "Tails that could not be loaded.", facts.failed_loads),
        ("splitpoint_tail_load_seconds", "Seconds of loading tails, together.", facts.load_s),
        ("splitpoint_tail_evictions", "Tails that made way for others.", facts.evictions),
    ):
        yield CounterMetricFamily(name, about, value)
    yield from _replicas(facts.replicas)
    yield GaugeMetricFamily(
        "splitpoint_missing_replicas",
        "Processes beside the first that are to serve and do not: they have ended, or lack a version.",
        facts.missing_replicas,
    )


def _replicas(replicas: Mapping[int, ProcessCosts]) -> Iterator[Metric]:
    cpu = CounterMetricFamily(
        "splitpoint_replica_cpu_seconds",
        "CPU seconds of a process beside the one that process_cpu_seconds_total tells of.",
        labels=("replica",),
    )
    resident = GaugeMetricFamily(
        "splitpoint_replica_resident_bytes",
        "Bytes in memory of such a process.",
        labels=("replica",),
    )
    for number, costs in replicas.items():
        cpu.add_metric([str(number)], costs.cpu_s)
        resident.add_metric([str(number)], costs.resident_bytes)
    yield from (cpu, resident)


def _cumulative(ends: Sequence[str], counts: Sequence[int]) -> list[tuple[str, float]]:
    totals = accumulate(tuple(counts))
    return [(end, float(total)) for end, total in zip((*ends, "+Inf"), totals, strict=True)]
