"""What if: frames of a plan over a link or a trace under several policies, and what they came to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from partitioner.common.tables import data_frame, html_table, text_table
from partitioner.common.units import format_duration, format_rate, format_size, plural
from partitioner.planning.plan import Plan
from partitioner.policy.settings import PolicySettings
from partitioner.simulation.adaptive import ADAPTIVE
from partitioner.simulation.pipeline import Passage, Setup
from partitioner.simulation.replay import CLAIRVOYANT, Run
from partitioner.simulation.spending import mean_spent
from protos.errors import UnknownNameError
from protos.names import CLOUD, EDGE

FRAME_COLUMNS = (
    "policy", "frame", "arrived_s", "option", "served_by", "latency_s", "edge_wait_s", "edge_s",
    "network_s", "queue_s", "cloud_s", "upload_bytes", "uplink_bps", "timed_out", "exits_from",
    "hedged", "look_bytes",
)  # fmt: skip

_PERCENTS = (50, 95, 99)
_BEST_FIXED = 6
"""Fixed options that a table shows beside the ends."""


@dataclass(frozen=True, eq=False)
class Simulation:
    """The same frames under several policies: what they met, and a run of each policy."""

    plan: Plan
    setup: Setup
    settings: PolicySettings
    """Of the adaptive policy."""
    runs: tuple[Run, ...]

    def __repr__(self) -> str:
        best = min(self.runs, key=lambda run: run.mean_s)
        return (
            f"<Simulation of {plural(self.frames, 'frame')} of {self.plan.bundle.name} over "
            f"{self.setup.trace.name}: {plural(len(self.runs), 'policy', 'policies')}, best {best.policy} "
            f"in a mean of {format_duration(best.mean_s)}>"
        )

    def __getitem__(self, policy: str) -> Run:
        for run in self.runs:
            if run.policy == policy:
                return run
        names = ", ".join(run.policy for run in self.runs)
        raise UnknownNameError(f"{policy!r} was not simulated. There are: {names}.")

    @property
    def frames(self) -> int:
        """How many frames each policy had."""
        return len(self.runs[0].passages)

    @property
    def leading(self) -> tuple[Run, ...]:
        """The runs of the policies that choose, of the best fixed options, and of the two ends."""
        ranked = sorted(self.runs, key=lambda run: run.mean_s)
        fixed = [run for run in ranked if run.policy not in (ADAPTIVE, CLAIRVOYANT)]
        ends = [
            next((run for run in fixed if run.policy.split("/")[0] == end), None)
            for end in (CLOUD, EDGE)
        ]
        hidden = [run for run in fixed[_BEST_FIXED:] if run not in ends]
        return tuple(run for run in self.runs if run not in hidden)

    def to_dict(self) -> dict[str, Any]:
        """Return what was simulated and what each policy came to, as plain data: seconds and bytes."""
        setup, uplink, bundle = self.setup, self.setup.trace.uplink_bps, self.plan.bundle
        return {
            "bundle": {"name": bundle.name, "digest": bundle.digest},
            "trace": {
                "name": setup.trace.name,
                "duration_s": setup.trace.duration_s,
                "mean_uplink_bps": uplink.mean,
                "at_end": uplink.at_end,
            },
            "frames": self.frames,
            "period_s": setup.period_s,
            "window": setup.window,
            "workers": setup.workers,
            "timeout_s": setup.timeout_s,
            "hedge": self.settings.hedging.after,
            "seed": setup.seed,
            "deadline_s": self.settings.deadline_s,
            "objective": self.settings.objective.weights,
            "policies": [{**self._row(run), "options": run.shares} for run in self.runs],
        }

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame with a row for each policy; UsageError where pandas is missing."""
        return data_frame([self._row(run) for run in self.runs])

    def frames_to_pandas(self) -> Any:
        """Return a pandas.DataFrame with a row for each frame under each policy, as FRAME_COLUMNS."""
        rows = (dict(zip(FRAME_COLUMNS, row, strict=True)) for row in self.frame_rows())
        return data_frame(list(rows))

    def frame_rows(self) -> Iterator[tuple[object, ...]]:
        """Yield a row of FRAME_COLUMNS for each frame of each run."""
        for run in self.runs:
            for index, passage in enumerate(run.passages):
                yield (run.policy, index, *self._frame_row(passage))

    def _frame_row(self, passage: Passage) -> tuple[object, ...]:
        return (
            passage.arrived_at,
            passage.demand.label,
            passage.served_by,
            passage.latency_s,
            passage.begun_at - passage.arrived_at,
            passage.demand.edge_s,
            passage.network_s,
            passage.queue_s,
            passage.cloud_s,
            passage.demand.upload_bytes,
            self.setup.trace.uplink_bps_at(passage.begun_at),
            int(passage.timed_out),
            passage.demand.exits_from,
            int(passage.hedged),
            passage.demand.look_bytes,
        )

    def _row(self, run: Run) -> dict[str, Any]:
        deadline_s = self.settings.deadline_s
        energy_j, money = mean_spent(run, self.settings.terms)
        return {
            "policy": run.policy,
            "mean_s": run.mean_s,
            **{f"p{percent}_s": run.latency_s(percent) for percent in _PERCENTS},
            "missed_share": None if deadline_s is None else run.missed(deadline_s),
            "fps": run.fps,
            "upload_bytes": run.upload_bytes,
            "look_bytes": run.look_bytes,
            "energy_j": energy_j,
            "cost": money,
            "timed_out": run.timed_out,
            "hedged": run.hedged,
            "hedges_won": run.hedges_won,
            "switches": run.switches,
            "exit_share": run.exit_share,
            "agreement": run.agreement,
            "threshold_moves": run.threshold_moves,
        }

    def __str__(self) -> str:
        return text_table(*self._table())

    def _repr_html_(self) -> str:
        return html_table(*self._table(), bold=0)

    def _table(self) -> tuple[str, Sequence[str], Sequence[Sequence[str]]]:
        """Return title, header and cells of a small table, the best mean first."""
        trace = self.setup.trace
        title = (
            f"{plural(self.frames, 'frame')} of {self.plan.bundle.name} over {trace.name} (mean "
            f"{format_rate(trace.uplink_bps.mean)}), latencies in ms"
        )
        late = () if self.settings.deadline_s is None else ("late",)
        header = ("policy", "mean", *(f"p{percent}" for percent in _PERCENTS), *late, "upload")
        ranked = sorted(self.leading, key=lambda run: run.mean_s)
        return title, header, [self._cells(run) for run in ranked]

    def _cells(self, run: Run) -> tuple[str, ...]:
        deadline_s = self.settings.deadline_s
        seconds = (run.mean_s, *(run.latency_s(percent) for percent in _PERCENTS))
        late = () if deadline_s is None else (f"{100 * run.missed(deadline_s):.1f} %",)
        times = (f"{1e3 * each:.1f}" for each in seconds)
        return run.policy, *times, *late, format_size(run.upload_bytes)
