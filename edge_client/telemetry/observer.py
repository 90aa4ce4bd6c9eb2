"""The observer of a client: it counts results, times of stages and moves, and judges health."""

import bisect
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.frames.choice import Choice
from edge_client.frames.result import Result, ServedBy
from edge_client.telemetry.health import (
    NO_FRAME,
    FailingShare,
    Health,
    HealthSettings,
    Signs,
    State,
    judge,
)
from edge_client.telemetry.upkeep import Upkeep
from partitioner.common.units import format_duration
from protos.security.tls_files import TlsFiles
from protos.telemetry import (
    BUCKETS_S,
    DIGEST_SHOWN,
    MAX_ADDRESS,
    MAX_MOVES,
    MAX_REASON,
    STAGES,
    EstimatesSeen,
    HedgesSeen,
    LooksSeen,
    Move,
    PowerSeen,
    StageTimes,
    Telemetry,
    VersionSeen,
)

_REMEMBERED = 2_000


@dataclass(frozen=True)
class Clocks:
    """Seconds of a clock that never jumps, which results use too, and Unix time for those elsewhere."""

    steady: Callable[[], float] = time.perf_counter
    wall: Callable[[], float] = time.time


class Observer:
    """Watches one client by its results. Safe to call from several threads.

    `name` is what the edge calls itself. `add` takes every result; `look` has to be called now and then,
    so that health changes without frames too. `stops`: how often the source of frames has stopped so far.
    `listener`: the certificate of the device's own local server.
    """

    def __init__(
        self,
        client: AsyncEdgeClient,
        name: str,
        *,
        settings: HealthSettings | None = None,
        clocks: Clocks | None = None,
        stops: Callable[[], int] = lambda: 0,
        listener: TlsFiles | None = None,
    ) -> None:
        self._client = client
        self._name = name
        self._settings = settings
        self._stops = stops
        self._upkeep = Upkeep(client.bundle.path, client.options.security.files, listener)
        self._clocks = clocks or Clocks()
        now_s = self._clocks.steady()
        self._lock = threading.Lock()
        self._state = State(Health.HEALTHY, NO_FRAME, now_s)
        self._failing, self._lost = FailingShare(), FailingShare()
        self._away_since: float | None = None
        self._started_s, self._number, self._interval_began = self._clocks.wall(), 0, now_s
        self._served_by: Counter[str] = Counter()
        self._fallbacks: Counter[str] = Counter()
        self._upload_bytes = self._download_bytes = 0
        self._stages = {stage: _Stage() for stage in STAGES}
        self._lost_snapshots = 0
        self._moves: deque[Move] = deque(maxlen=MAX_MOVES)
        client.on_move.add(self._moved)

    @property
    def health(self) -> Health:
        """The health as it was last judged."""
        return self._state.health

    def add(self, result: Result) -> None:
        """Note one result."""
        now_s = self._clocks.steady()
        with self._lock:
            self._served_by[str(result.served_by)] += 1
            self._upload_bytes += result.upload_bytes
            self._download_bytes += result.download_bytes
            if result.fallback is not None:
                self._fallbacks[result.fallback] += 1
            lost = result.served_by is ServedBy.NONE
            self._failing.add(lost or result.fallback is not None, now_s)
            self._lost.add(lost, now_s)
            if not lost:
                for name, stage in self._stages.items():
                    stage.add(getattr(result.timings, f"{name}_s"))

    def count_lost(self, snapshots: int) -> None:
        """Note how many snapshots have never reached the cloud, since the start."""
        self._lost_snapshots = snapshots

    def look(self) -> State:
        """Judge the health anew and return it."""
        now_s = self._clocks.steady()
        with self._lock:
            late = _lateness(self._client)
            if late or not self._client.cloud_is_away:
                self._forget_absence()
            elif self._away_since is None:
                self._away_since = now_s
            away_s = None if self._away_since is None else now_s - self._away_since
            signs = Signs(
                self._failing.value(now_s),
                away_s,
                self._lost.value(now_s),
                late,
                self._client.absence,
                self._served_by.total(),
            )
            self._state = judge(signs, self._state, now_s, self._settings)
            return self._state

    def _forget_absence(self) -> None:
        # What was done without a cloud that is back says nothing of how it fares now.
        if self._away_since is not None:
            self._away_since = None
            self._failing, self._lost = FailingShare(), FailingShare()

    def peek(self) -> Telemetry:
        """Return the interval that goes on, as it is now."""
        with self._lock:
            return self._snapshot(self._clocks.steady())

    def snapshot(self) -> Telemetry:
        """Return the interval that ends now, and begin the next one."""
        with self._lock:
            now_s = self._clocks.steady()
            found = self._snapshot(now_s)
            self._number, self._interval_began = self._number + 1, now_s
            self._moves.clear()
            for stage in self._stages.values():
                stage.recent.clear()
            return found

    def _moved(self, choice: Choice) -> None:
        limit = choice.exits_from
        move = Move(
            time_s=self._clocks.wall(),
            cut=choice.label,
            exits_from=limit if limit is not None and limit <= 1 else None,
            reason=choice.reason[:MAX_REASON],
        )
        with self._lock:
            self._moves.append(move)

    def _snapshot(self, now_s: float) -> Telemetry:
        choice = self._client.choice
        return Telemetry(
            edge=self._name,
            bundle=self._client.bundle.name,
            started_s=self._started_s,
            number=self._number,
            time_s=self._clocks.wall(),
            interval_s=now_s - self._interval_began,
            health=self._state.health.value,
            health_reason=self._state.reason,
            cut=choice.label,
            reason=choice.reason[:MAX_REASON],
            exits_from=self._client.exits_from,
            served_by=dict(self._served_by),
            fallbacks=dict(self._fallbacks),
            hedges=HedgesSeen(**asdict(self._client.hedges)),
            looks=LooksSeen(**asdict(self._client.looks)),
            switches=self._client.switches,
            upload_bytes=self._upload_bytes,
            download_bytes=self._download_bytes,
            lost_snapshots=self._lost_snapshots,
            source_stops=self._stops(),
            stages={name: stage.summary() for name, stage in self._stages.items()},
            moves=tuple(self._moves),
            estimates=self._estimates(now_s),
            server=(self._client.server_in_use or "")[:MAX_ADDRESS],
            version=self._version(),
            power=self._power(),
            upkeep=self._upkeep.look(),
        )

    def _version(self) -> VersionSeen:
        version, update = self._client.version, self._client.update_state
        counts = version.tally.counts
        return VersionSeen(
            digest=version.bundle.version_digest[:DIGEST_SHOWN],
            frames=counts.frames,
            fallbacks=counts.fallbacks,
            faults=counts.faults,
            phase=str(update.phase),
            offered=update.version_digest[:DIGEST_SHOWN],
            reason=update.reason[:MAX_REASON],
            refusals=update.refusals,
        )

    def _power(self) -> PowerSeen | None:
        watch = self._client.power
        if watch is None:
            return None
        reading, power_demand = watch.reading, watch.power_demand
        return PowerSeen(
            battery=reading.battery,
            charging=reading.charging,
            temperature_c=reading.temperature_c,
            rules=power_demand.names,
            energy_factor=power_demand.energy_factor,
            max_fps=power_demand.max_fps,
        )

    def _estimates(self, now_s: float) -> EstimatesSeen | None:
        link, control = self._client.link, self._client.control
        if link is None or not all(map(math.isfinite, (link.uplink_bps, link.downlink_bps))):
            return None
        seen = control.conditions(now_s) if control.adapts else None
        return EstimatesSeen(
            uplink_bps=link.uplink_bps,
            downlink_bps=link.downlink_bps,
            rtt_s=link.rtt_s,
            uplink_spread=seen.link.uplink_spread if seen else None,
            rtt_spread_s=seen.link.rtt_spread_s if seen else None,
            edge_load=seen.edge_load if seen else None,
            cloud_load=seen.cloud_load if seen else None,
            cloud_queue_s=seen.cloud_queue_s if seen else None,
        )


def _lateness(client: AsyncEdgeClient) -> str:
    """Say how late the cloud's answers are; empty while they are not."""
    if not client.answers_late:
        return ""
    limit_s = client.timeout_s if client.deadline_s is None else client.deadline_s
    limit = "timeout" if client.deadline_s is None else "deadline"
    usual_s = client.control.learned.usual_s(client.choice.label)
    takes = "" if usual_s is None else f": a frame takes about {format_duration(usual_s)}"
    return f"the cloud's answers come later than the {limit} of {format_duration(limit_s)} allows{takes}"


class _Stage:
    """Times of one stage: a histogram since the start, and the last ones of the interval."""

    def __init__(self) -> None:
        self.recent: deque[float] = deque(maxlen=_REMEMBERED)
        self._total_s = 0.0
        self._buckets = [0] * (len(BUCKETS_S) + 1)

    def add(self, seconds: float) -> None:
        self._total_s += seconds
        self._buckets[bisect.bisect_left(BUCKETS_S, seconds)] += 1
        self.recent.append(seconds)

    def summary(self) -> StageTimes:
        p50_s, p95_s = np.percentile(self.recent, (50, 95)) if self.recent else (None, None)
        return StageTimes(
            p50_s=_rounded(p50_s),
            p95_s=_rounded(p95_s),
            total_s=round(self._total_s, 6),
            buckets=tuple(self._buckets),
        )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(float(seconds), 6)
