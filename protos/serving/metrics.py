"""Telemetry as Prometheus metrics: an edge shows its own, the cloud those of all edges that report."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from protos.telemetry import BUCKETS_S, StageTimes, Telemetry

_PREFIX = "splitpoint_edge_"
_EDGE = ("edge", "bundle")
_HEALTH = ("healthy", "degraded", "offline")
_ENDS = (*map(str, BUCKETS_S), "+Inf")

Snapshots = Callable[[], Iterable[Telemetry]]


class TelemetryCollector(Collector):
    """Turns the newest snapshot of each edge into metrics when they are asked for."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: what there is is known when it is asked for."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Yield one family for each thing that is measured, labelled by edge and bundle."""
        snapshots = list(self._snapshots())
        yield from _counters(snapshots)
        yield from _gauges(snapshots)
        yield from _power(snapshots)
        yield from _versions(snapshots)
        yield from _upkeep(snapshots)
        yield _stages(snapshots)


def registry_of(snapshots: Snapshots) -> CollectorRegistry:
    """Return a registry of its own that shows these snapshots, for prometheus_client's exporters."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(TelemetryCollector(snapshots))
    return registry


@contextmanager
def serve_metrics(host: str, port: int, snapshots: Snapshots) -> Iterator[int]:
    """Serve /metrics on a thread of its own within the block; gives the port. OSError when taken."""
    server, thread = start_http_server(port, host, registry_of(snapshots))
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _counters(snapshots: list[Telemetry]) -> Iterator[Metric]:
    frames = CounterMetricFamily(
        _PREFIX + "frames", "Frames by who ran the last layer.", labels=(*_EDGE, "served_by")
    )
    fallbacks = CounterMetricFamily(
        _PREFIX + "fallbacks",
        "Frames that the cloud was meant to serve and did not, by what it failed with.",
        labels=(*_EDGE, "reason"),
    )
    for seen in snapshots:
        for served_by, count in seen.served_by.items():
            frames.add_metric([*_of(seen), served_by], count)
        for reason, count in seen.fallbacks.items():
            fallbacks.add_metric([*_of(seen), reason], count)
    yield frames
    yield fallbacks
    for name, about in (
        ("upload_bytes", "Bytes sent to the cloud for frames."),
        ("download_bytes", "Bytes of the cloud's answers."),
        ("switches", "Moves of the cut by the policy."),
        ("lost_snapshots", "Telemetry that never reached the cloud."),
        ("source_stops", "Times that the camera has stopped; it is opened again by itself."),
    ):
        family = CounterMetricFamily(_PREFIX + name, about, labels=_EDGE)
        for seen in snapshots:
            family.add_metric(_of(seen), getattr(seen, name))
        yield family
    yield from _hedges(snapshots)
    yield from _looks(snapshots)


def _hedges(snapshots: list[Telemetry]) -> Iterator[Metric]:
    hedges = CounterMetricFamily(
        _PREFIX + "hedges",
        "Frames that the device began to finish, too, as the cloud was late, by who was first.",
        labels=(*_EDGE, "first"),
    )
    known = [(_of(seen), seen.hedges) for seen in snapshots if seen.hedges is not None]
    for whose, found in known:
        hedges.add_metric([*whose, "device"], found.device_first)
        hedges.add_metric([*whose, "cloud"], found.cloud_first)
    yield hedges
    for name, about, field in (
        ("hedge_dropped_seconds", "Device work on hedges that the cloud won.", "dropped_s"),
        (
            "hedge_unused_answers",
            "The cloud's answers that came too late to count.",
            "unused_answers",
        ),
        ("hedge_unused_cloud_seconds", "Cloud work on those answers.", "unused_cloud_s"),
    ):
        family = CounterMetricFamily(_PREFIX + name, about, labels=_EDGE)
        for whose, found in known:
            family.add_metric(whose, getattr(found, field))
        yield family


def _looks(snapshots: list[Telemetry]) -> Iterator[Metric]:
    looks = CounterMetricFamily(
        _PREFIX + "looks",
        "Looks at the link, by frames that try another option and by probes.",
        labels=(*_EDGE, "by"),
    )
    sent = CounterMetricFamily(
        _PREFIX + "look_bytes", "Bytes that looks at the link sent.", labels=_EDGE
    )
    for seen in snapshots:
        if seen.looks is not None:
            looks.add_metric([*_of(seen), "frame"], seen.looks.tries)
            looks.add_metric([*_of(seen), "probe"], seen.looks.probes)
            sent.add_metric(_of(seen), seen.looks.sent_bytes)
    yield looks
    yield sent


def _gauges(snapshots: list[Telemetry]) -> Iterator[Metric]:
    health = GaugeMetricFamily(
        _PREFIX + "health", "1 for the state that the edge is in.", labels=(*_EDGE, "state")
    )
    cut = GaugeMetricFamily(
        _PREFIX + "cut", "1 for the cut and codec of the next frame.", labels=(*_EDGE, "cut")
    )
    exits = GaugeMetricFamily(
        _PREFIX + "exit_threshold",
        "Confidence from which the exit at the cut answers early; missing where none does.",
        labels=_EDGE,
    )
    server = GaugeMetricFamily(
        _PREFIX + "server_info",
        "1 for the server in use, of several; missing where there is no choice.",
        labels=(*_EDGE, "server"),
    )
    age = GaugeMetricFamily(
        _PREFIX + "snapshot_time_seconds", "Unix time of what is shown here.", labels=_EDGE
    )
    for seen in snapshots:
        for state in _HEALTH:
            health.add_metric([*_of(seen), state], float(seen.health == state))
        cut.add_metric([*_of(seen), seen.cut], 1)
        if seen.exits_from is not None:
            exits.add_metric(_of(seen), seen.exits_from)
        if seen.server:
            server.add_metric([*_of(seen), seen.server], 1)
        age.add_metric(_of(seen), seen.time_s)
    yield from (health, cut, exits, server, age)
    yield from _parts(
        snapshots,
        "estimates",
        ("uplink_bits_per_second", "Estimated rate to the cloud.", "uplink_bps"),
        ("downlink_bits_per_second", "Estimated rate from the cloud.", "downlink_bps"),
        ("rtt_seconds", "Estimated round trip.", "rtt_s"),
        ("edge_load", "Seconds of heads, measured over profiled.", "edge_load"),
        ("cloud_load", "Seconds of tails, measured over profiled.", "cloud_load"),
        ("cloud_queue_seconds", "What requests wait for a worker.", "cloud_queue_s"),
    )


def _power(snapshots: list[Telemetry]) -> Iterator[Metric]:
    rules = GaugeMetricFamily(
        _PREFIX + "power_rule",
        "1 for a rule of battery or heat that holds.",
        labels=(*_EDGE, "rule"),
    )
    for seen in snapshots:
        for rule in seen.power.rules if seen.power else ():
            rules.add_metric([*_of(seen), rule], 1)
    yield rules
    yield from _parts(
        snapshots,
        "power",
        ("battery_ratio", "What the battery holds, of a full one.", "battery"),
        ("temperature_celsius", "How hot the device is.", "temperature_c"),
        ("energy_weight_factor", "By how much the weight of energy has risen.", "energy_factor"),
        ("frames_per_second_limit", "Frames a second that are taken at most.", "max_fps"),
    )


def _versions(snapshots: list[Telemetry]) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        _PREFIX + "version_info",
        "1 for the version of the bundle that runs, by the beginning of its digest.",
        labels=(*_EDGE, "digest"),
    )
    update = GaugeMetricFamily(
        _PREFIX + "update_phase",
        "1 for where the edge stands with a version that it was offered.",
        labels=(*_EDGE, "phase"),
    )
    refusals = CounterMetricFamily(
        _PREFIX + "update_refusals",
        "Versions that the edge was offered and has refused.",
        labels=_EDGE,
    )
    for seen in snapshots:
        if seen.version is not None:
            info.add_metric([*_of(seen), seen.version.digest], 1)
            update.add_metric([*_of(seen), seen.version.phase], 1)
            refusals.add_metric(_of(seen), seen.version.refusals)
    yield from (info, update, refusals)


def _upkeep(snapshots: list[Telemetry]) -> Iterator[Metric]:
    begins = GaugeMetricFamily(
        _PREFIX + "tls_certificate_not_before_seconds",
        "Unix time from which on a certificate of the edge holds: its own, that of its listener, or the last "
        "of the authorities that it trusts.",
        labels=(*_EDGE, "certificate"),
    )
    ends = GaugeMetricFamily(
        _PREFIX + "tls_certificate_not_after_seconds",
        "Unix time until which it holds.",
        labels=(*_EDGE, "certificate"),
    )
    for seen in snapshots:
        for whose, dates in seen.upkeep.certificates.items() if seen.upkeep else ():
            begins.add_metric([*_of(seen), whose], dates.not_before_s)
            ends.add_metric([*_of(seen), whose], dates.not_after_s)
    yield from (begins, ends)
    yield from _parts(
        snapshots,
        "upkeep",
        ("disk_free_bytes", "Free bytes of the disk that has the bundle.", "disk_free_bytes"),
    )


def _parts(
    snapshots: list[Telemetry], part: str, *families: tuple[str, str, str]
) -> Iterator[Metric]:
    """Yield a gauge for each field of a part of the snapshots, where it is known."""
    for name, about, field in families:
        family = GaugeMetricFamily(_PREFIX + name, about, labels=_EDGE)
        for seen in snapshots:
            if (found := getattr(getattr(seen, part), field, None)) is not None:
                family.add_metric(_of(seen), found)
        yield family


def _stages(snapshots: list[Telemetry]) -> Metric:
    family = HistogramMetricFamily(
        _PREFIX + "stage_seconds", "Seconds of each stage of a frame.", labels=(*_EDGE, "stage")
    )
    for seen in snapshots:
        for stage, times in seen.stages.items():
            family.add_metric([*_of(seen), stage], _cumulative(times), times.total_s)
    return family


def _cumulative(times: StageTimes) -> list[tuple[str, float]]:
    total, found = 0, []
    for end, count in zip(_ENDS, times.buckets, strict=True):
        total += count
        found.append((end, float(total)))
    return found


def _of(seen: Telemetry) -> list[str]:
    return [seen.edge, seen.bundle]
