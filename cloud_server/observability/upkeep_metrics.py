"""Metrics of what somebody has to look after: refused versions, roll-outs, certificates, disks, memory."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import GaugeMetricFamily, Metric

from protos.security.tls_files import Dates

_ROLLOUT_STATES = ("running", "held", "back")


@dataclass(frozen=True)
class UpkeepFacts:
    """What somebody may have to look after.

    `refused`: bundles of which the folder holds something that is not served. `rollouts`: bundle, version,
    state and share of each. `certificates`: the dates of each, by whose it is. `disks`: free bytes and all
    bytes of the disk that holds each thing. `tail_budget_bytes`: None: nothing bounds the tails.
    `memory_limit_bytes`: what the server may take; None: not known.
    """

    refused: Collection[str] = ()
    rollouts: Sequence[tuple[str, str, str, float]] = ()
    certificates: Mapping[str, Dates] = field(default_factory=dict)
    disks: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    tail_budget_bytes: int | None = None
    memory_limit_bytes: int | None = None


def upkeep_metrics(facts: UpkeepFacts) -> Iterator[Metric]:
    """Yield a family for each of the facts."""
    refused = GaugeMetricFamily(
        "splitpoint_bundle_refused",
        "1 for a bundle of which the folder holds a version that is not served: damaged, not signed, or "
        "in another's way.",
        labels=("bundle",),
    )
    for name in sorted(facts.refused):
        refused.add_metric([name], 1)
    yield refused
    yield from _rollouts(facts)
    yield from _certificates(facts)
    yield from _disks(facts)
    budget = GaugeMetricFamily(
        "splitpoint_tail_budget_bytes",
        "Bytes that tails may take in memory; missing where nothing bounds them.",
    )
    if facts.tail_budget_bytes is not None:
        budget.add_metric([], facts.tail_budget_bytes)
    yield budget
    limit = GaugeMetricFamily(
        "splitpoint_memory_limit_bytes",
        "Bytes of memory that the server may take: the limit of its control group, or the machine's.",
    )
    if facts.memory_limit_bytes is not None:
        limit.add_metric([], facts.memory_limit_bytes)
    yield limit


def _certificates(facts: UpkeepFacts) -> Iterator[Metric]:
    begins = GaugeMetricFamily(
        "splitpoint_tls_certificate_not_before_seconds",
        "Unix time from which on a certificate in use holds: its own, or the last of the authorities.",
        labels=("certificate",),
    )
    ends = GaugeMetricFamily(
        "splitpoint_tls_certificate_not_after_seconds",
        "Unix time until which it holds.",
        labels=("certificate",),
    )
    for whose, (begins_s, ends_s) in facts.certificates.items():
        begins.add_metric([whose], begins_s)
        ends.add_metric([whose], ends_s)
    yield from (begins, ends)


def _rollouts(facts: UpkeepFacts) -> Iterator[Metric]:
    state = GaugeMetricFamily(
        "splitpoint_rollout_state",
        "1 for the state that the roll-out of a version is in: running, held or back.",
        labels=("bundle", "version", "state"),
    )
    share = GaugeMetricFamily(
        "splitpoint_rollout_share_ratio",
        "Share of the devices that a version is rolled out to.",
        labels=("bundle", "version"),
    )
    for bundle, version, found, reached in facts.rollouts:
        for each in _ROLLOUT_STATES:
            state.add_metric([bundle, version, each], float(each == found))
        share.add_metric([bundle, version], reached)
    yield from (state, share)


def _disks(facts: UpkeepFacts) -> Iterator[Metric]:
    free = GaugeMetricFamily(
        "splitpoint_disk_free_bytes",
        "Free bytes of the disk that holds the bundles, or the book of roll-outs.",
        labels=("holds",),
    )
    size = GaugeMetricFamily(
        "splitpoint_disk_size_bytes", "All bytes of such a disk.", labels=("holds",)
    )
    for holds, (free_bytes, size_bytes) in facts.disks.items():
        free.add_metric([holds], free_bytes)
        size.add_metric([holds], size_bytes)
    yield from (free, size)
