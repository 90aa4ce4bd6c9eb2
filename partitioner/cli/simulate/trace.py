"""`splitpoint simulate trace`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from partitioner.cli.flags.arguments import AccuracyDrop, BundleArgument, OnlyCodec
from partitioner.cli.flags.link import LinkFlags, TraceColumns
from partitioner.cli.flags.output import RowsFlags
from partitioner.cli.flags.profiles import ProfileFlags
from partitioner.cli.flags.terms import ObjectiveFlags, TermsFlags
from partitioner.common.defaults import DEFAULT_TIMEOUT_S, DEFAULT_WINDOW
from partitioner.settings.panels import CHOICE, LINK, LOAD, OUTPUT
from partitioner.terminal.console import print_json, progress, remark, screen
from partitioner.terminal.flags import READERS_TELL, flag
from protos.errors import UsageError, plural

if TYPE_CHECKING:
    from partitioner.bundle.bundle import Bundle
    from partitioner.network.trace import Trace
    from partitioner.policy.settings import PolicySettings
    from partitioner.simulation.exit_draws import Exiting
    from partitioner.simulation.pipeline import Setup
    from partitioner.simulation.simulation import Simulation

_MOST_FRAMES = 1_000_000


@dataclass(frozen=True)
class TraceFlags:
    """How a file is read as a trace."""

    trace_format: Annotated[
        str | None,
        flag(
            "rates, mahimahi, csv, log or lumos5g; else found out.",
            "FORMAT",
            panel=LINK,
            choices=lambda: ("rates", "mahimahi", "csv", "log", "lumos5g"),
        ),
    ] = None
    at_end: Annotated[
        str,
        flag(
            "After its end the trace does loop, or hold.",
            "END",
            panel=LINK,
            choices=lambda: ("loop", "hold"),
        ),
    ] = "loop"

    columns: TraceColumns = None

    def read(self, file: Path) -> "Trace":
        """Return the trace. Raises UsageError or TraceError."""
        from partitioner.network.trace import parse_at_end
        from partitioner.network.trace_files import parse_format, read_trace

        return read_trace(
            file, parse_format(self.trace_format), parse_at_end(self.at_end), self.columns
        )


@dataclass(frozen=True)
class StreamFlags:
    """The frames, and the machines that they meet."""

    fps: Annotated[
        float, flag("Frames a second; 0: as fast as they are taken.", "RATE", panel=LOAD)
    ] = 5
    frames: Annotated[
        int | None,
        flag("How many; else as many as come in the trace once.", "N", panel=LOAD, min=1),
    ] = None
    window: Annotated[int, flag("Frames at work at once.", "N", panel=LOAD, min=1)] = DEFAULT_WINDOW
    timeout: Annotated[str, flag("Until an answer counts as lost.", "TIME", panel=LOAD)] = (
        f"{DEFAULT_TIMEOUT_S:g}s"
    )
    hedge: Annotated[
        str,
        flag(
            "When the idle device begins to finish a frame, too, under the adaptive policy.",
            "auto|off|TIME",
            panel=LOAD,
        ),
    ] = "auto"
    deadline: Annotated[
        str | None,
        flag("Count frames later than this; the adaptive policy heeds it.", "TIME", panel=LOAD),
    ] = None
    workers: Annotated[
        int, flag("Cloud workers that serve this device.", "N", panel=LOAD, min=1)
    ] = 1
    cloud_load: Annotated[
        float,
        flag("The cloud takes this many times what the plan believes.", "FACTOR", panel=LOAD),
    ] = 1.0
    edge_load: Annotated[
        float,
        flag("The device takes this many times what the plan believes.", "FACTOR", panel=LOAD),
    ] = 1.0
    seed: Annotated[
        int,
        flag(
            "Frames and their times are drawn; equal seeds give equal results.",
            "N",
            panel=LOAD,
            min=0,
        ),
    ] = 0

    def check(self) -> None:
        """Raise UsageError for a rate or a load without meaning."""
        if not 0 <= self.fps < float("inf"):
            raise UsageError(f"--fps {self.fps} has no meaning. Give a rate such as 10, or 0.")
        for name, load in (("--cloud-load", self.cloud_load), ("--edge-load", self.edge_load)):
            if not 0 < load < float("inf"):
                raise UsageError(f"{name} {load} has no meaning. Give a factor above 0, such as 2.")

    def setup(self, trace: "Trace") -> "Setup":
        """Return what the frames are sent over, and how. Raises UsageError."""
        from partitioner.common.units import parse_duration
        from partitioner.simulation.pipeline import Setup

        period_s = 1 / self.fps if self.fps else 0.0
        timeout_s, paced = parse_duration(self.timeout), self.deadline is not None
        return Setup(
            trace, period_s, self.window, timeout_s, self.workers, self.seed, device_paced=paced
        )

    def count(self, duration_s: float) -> int:
        """Return how many frames there are. Raises UsageError where that is unknown, or too many."""
        if self.frames:
            return self.frames
        if not self.fps:
            raise UsageError("--fps 0 has no end by itself. Say how many: --frames 500.")
        count = max(1, round(duration_s * self.fps))
        if count > _MOST_FRAMES:
            raise UsageError(
                f"this trace has time for {plural(count, 'frame')} at {self.fps:g} a second. Say how many "
                "of them: --frames 1000."
            )
        return count


@dataclass(frozen=True)
class EarlyFlags:
    """When exits answer early."""

    exit_threshold: Annotated[
        str,
        flag(
            "Exits answer early from this confidence: own, none, 0.9 …, or auto: own, and under the "
            "adaptive policy as high as --latency or --deadline allows.",
            "SHARE",
            panel=CHOICE,
            choices=lambda: ("own", "none", "auto"),
        ),
    ] = "none"
    latency: Annotated[
        str | None,
        flag(
            "What a frame may be expected to take on average under the adaptive policy, as 100ms.",
            "TIME",
            panel=CHOICE,
        ),
    ] = None
    exit_floor: Annotated[
        float | None,
        flag(
            "For auto: agreement below which no threshold goes.",
            "SHARE",
            panel=CHOICE,
            default="what the exits were trained for",
        ),
    ] = None

    def read(self, bundle: "Bundle", settings: "PolicySettings", seed: int) -> "Exiting | None":
        """Return how exits answer; None: they don't. Raises UsageError."""
        from partitioner.exits.ladder import ladder_for, own_rung, parse_threshold
        from partitioner.simulation.exit_draws import Exiting

        asked, floor = parse_threshold(self.exit_threshold), self.exit_floor
        if floor is not None and (asked != "auto" or settings.limit_s is None):
            raise UsageError(
                "--exit-floor bounds a threshold that moves. Give --exit-threshold auto, and --latency or "
                "--deadline."
            )
        if asked is None:
            return None
        exits = bundle.known_exits()
        fixed = own_rung(exits, None if isinstance(asked, str) else asked)
        ladder = ladder_for(exits, asked, settings.deadline_s, settings.latency_s, floor)
        return Exiting(exits, ladder, fixed, seed)


def trace(
    bundle: BundleArgument,
    file: Annotated[
        Path,
        typer.Argument(
            help="The trace: `seconds Mbit/s` a line, Mahimahi's milliseconds, or CSV with a header.",
            metavar="TRACE",
            show_default=False,
            readable=READERS_TELL,
        ),
    ],
    link: LinkFlags,
    reading: TraceFlags,
    stream: StreamFlags,
    early: EarlyFlags,
    objective: ObjectiveFlags,
    terms: TermsFlags,
    profiles: ProfileFlags,
    output: RowsFlags,
    codec: OnlyCodec = None,
    accuracy_drop: AccuracyDrop = None,
    every: Annotated[
        bool,
        flag(
            "Show every fixed option, also those that another beats on every stage.",
            None,
            "--all",
            panel=OUTPUT,
        ),
    ] = False,
) -> None:
    """Send frames over a trace: every fixed option, the adaptive policy, and one that knows the future.

    The trace says the uplink; where it says no round trip or downlink, --rtt and --down do, or --link.
    The adaptive policy minimises what --minimize or --weights say, the one that knows the future the mean
    latency. A picture has bandwidth, choices, latency and its distributions.

    Example: splitpoint simulate trace resnet50 tram.txt --rtt 50ms --fps 10 --plot tram.png
    """
    from partitioner.bundle.bundle import Bundle
    from partitioner.common.files import write_csv
    from partitioner.common.units import parse_duration
    from partitioner.planning.plan import plan
    from partitioner.policy.hedges import Hedging
    from partitioner.policy.settings import PolicySettings
    from partitioner.reports.plans.guesses import guess_notes, ranges_json
    from partitioner.reports.plans.plan import scale_notes
    from partitioner.reports.plots.trace import draw_runs
    from partitioner.simulation.comparison import compare_policies
    from partitioner.simulation.simulation import FRAME_COLUMNS, Simulation

    output.check()
    stream.check()
    full = link.fill(reading.read(file))
    setup, count = stream.setup(full), stream.count(full.duration_s)
    priced = terms.read(stream.fps or None, stream.workers)
    settings = PolicySettings(
        objective=objective.read(),
        terms=priced,
        deadline_s=parse_duration(stream.deadline) if stream.deadline else None,
        latency_s=parse_duration(early.latency) if early.latency else None,
        window=stream.window,
        hedging=Hedging.of(stream.hedge),
    )
    loaded = Bundle.load(bundle)
    measured, target = profiles.read(loaded, priced.device), profiles.target(priced.device)
    made = plan(loaded, full.mean_link(), *measured, codec=codec, accuracy_drop=accuracy_drop)
    exiting = early.read(loaded, settings, stream.seed)
    with progress() as bar:
        task = bar.add_task("simulating", total=None)

        def show(policy: str, done: int, total: int) -> None:
            bar.update(task, description=policy, completed=done, total=total)

        loads = (stream.edge_load, stream.cloud_load)
        runs = compare_policies(
            made, setup, count, settings, loads,
            policies="all" if every else None, exiting=exiting, on_progress=show,
        )  # fmt: skip
    done = Simulation(made, setup, settings, tuple(runs))
    if output.csv:
        write_csv(output.csv, FRAME_COLUMNS, done.frame_rows())
    if output.plot:
        draw_runs(runs, setup, output.plot)
    if output.as_json:
        print_json({**done.to_dict(), "not_measured": ranges_json(made, target)})
        return
    _show(done, every=every)
    for note in (*guess_notes(made, target), *scale_notes(made)):
        remark(f"Note: {note}")
    output.tell()


def _show(done: "Simulation", *, every: bool) -> None:
    from partitioner.reports.simulations.trace import choices_text, runs_table, runs_text

    shown = done.runs if every else done.leading
    screen.print(runs_text(done.runs, done.settings))
    screen.print(runs_table(done, shown))
    screen.print(choices_text(done.runs))
    if len(shown) < len(done.runs):
        remark(
            f"{len(shown)} of {plural(len(done.runs), 'policy', 'policies')} shown; --all shows the "
            "fixed options that came off worse."
        )
