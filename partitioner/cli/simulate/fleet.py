"""`splitpoint simulate fleet`."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from partitioner.cli.flags.arguments import AccuracyDrop, BundleArgument, OnlyCodec
from partitioner.cli.flags.link import LinkFlags, TraceColumns
from partitioner.cli.flags.output import RowsFlags
from partitioner.cli.flags.profiles import ProfileFlags
from partitioner.cli.flags.terms import TermsFlags
from partitioner.cli.simulate.engines import EngineFlags
from partitioner.common.defaults import DEFAULT_WINDOW
from partitioner.settings.panels import CHOICE, LINK, LOAD
from partitioner.terminal.console import print_json, progress, remark, screen
from partitioner.terminal.flag_names import document_with_flags
from partitioner.terminal.flags import flag
from protos.errors import UsageError

if TYPE_CHECKING:
    from partitioner.bundle.bundle import Bundle
    from partitioner.devices.device import Device
    from partitioner.network.trace import Trace
    from partitioner.planning.plan import Plan
    from partitioner.planning.terms import Terms
    from partitioner.simulation.fleet.fleet_simulation import FleetSimulation
    from partitioner.simulation.sizing.sized_fleet import FleetSizing

_AUTO = "auto"


@dataclass(frozen=True)
class UplinkFlags:
    """What devices share."""

    trace: Annotated[
        Path | None,
        flag(
            "The uplinks over time, instead of a constant one; each starts at a random moment of it.",
            "TRACE",
            panel=LINK,
        ),
    ] = None
    columns: TraceColumns = None
    share: Annotated[int, flag("Devices on each uplink.", "N", panel=LINK, min=1)] = 1

    def read(self, link: LinkFlags) -> "Trace":
        """Return the uplinks: a link that never changes, or the trace, with what it does not say.

        Raises UsageError or TraceError.
        """
        from partitioner.network.trace import Trace
        from partitioner.network.trace_files import read_trace

        constant = link.link or link.bandwidth
        if constant and self.trace:
            given = "--link" if link.link else "--bandwidth"
            raise UsageError(
                f"{given} and --trace both say the uplinks. Give one of them; beside a trace, --rtt and "
                "--down say what it does not."
            )
        if constant is None and self.trace is None:
            raise UsageError("a fleet needs uplinks. Give --link 20mbit,50ms, or --trace FILE.")
        if self.trace is None and self.columns is not None:
            raise UsageError(
                "--columns are of a trace's file. Give --trace FILE, or leave them out."
            )
        if self.trace is None:
            return Trace.constant(link.read())
        return link.fill(read_trace(self.trace, columns=self.columns))


_DURATION = "10min"


@dataclass(frozen=True)
class FleetFlags:
    """The devices, the workers of their cloud, and the runs."""

    devices: Annotated[int, flag("How many devices.", "N", panel=LOAD, min=1)] = 100
    fps: Annotated[float, flag("Frames a second of each device.", "RATE", panel=LOAD)] = 1.0
    options: Annotated[
        list[str] | None,
        flag(
            "CUT/CODEC or edge; given several times, the devices take them in turn.",
            "OPTION",
            "--option",
            panel=LOAD,
            default="what --minimize says",
        ),
    ] = None
    minimize: Annotated[
        str,
        flag(
            "Which option the devices take: latency, the plan's fastest on the mean share of an uplink; or "
            "cost, the one whose month costs least with as few workers as keep --p99.",
            "METRIC",
            panel=CHOICE,
            choices=lambda: ("latency", "cost"),
        ),
    ] = "latency"
    window: Annotated[int, flag("Frames at work on a device.", "N", panel=LOAD, min=1)] = (
        DEFAULT_WINDOW
    )
    deadline: Annotated[
        str | None,
        flag(
            "Count frames later than this; devices then take a frame when free.",
            "TIME",
            panel=LOAD,
        ),
    ] = None
    workers: Annotated[
        str | None,
        flag(
            "Workers of the cloud; auto: as few as --p99 allows.",
            "N",
            panel=LOAD,
            choices=lambda: (_AUTO,),
            default="1; auto with --minimize cost",
        ),
    ] = None
    p99: Annotated[
        str | None,
        flag(
            "The p99 to keep, with --workers auto, --minimize cost and --engine.",
            "TIME",
            panel=LOAD,
        ),
    ] = None
    batch: Annotated[int, flag("Frames that a worker takes at once.", "N", panel=LOAD, min=1)] = 1
    batch_cost: Annotated[
        float,
        flag("A further frame in a batch takes this part of a frame alone.", "SHARE", panel=LOAD),
    ] = 1.0
    duration: Annotated[str, flag("Simulated time of a run.", "TIME", panel=LOAD)] = _DURATION
    runs: Annotated[int, flag("Independent runs.", "N", panel=LOAD, min=1)] = 1
    seed: Annotated[int, flag("Equal seeds give equal results.", "N", panel=LOAD, min=0)] = 0

    def simulate(
        self, plan: "Plan", uplinks: "Trace", share: int, terms: "Terms"
    ) -> "FleetSimulation":
        """Simulate the fleet, and show how far that is. Raises what `simulate_fleet` does."""
        from partitioner.common.units import parse_duration
        from partitioner.simulation.fleet.what_if import simulate_fleet

        with progress() as bar:
            task = bar.add_task("simulating", total=None)

            def show(what: str, done: int, total: int) -> None:
                bar.update(task, description=what, completed=done, total=total)

            return simulate_fleet(
                plan, uplinks,
                devices=self.devices, fps=self.fps, seconds=parse_duration(self.duration), share=share,
                options=self.options, minimize=self.minimize, workers=_worker_count(self.workers),
                p99_s=parse_duration(self.p99) if self.p99 else None,
                deadline_s=parse_duration(self.deadline) if self.deadline else None,
                terms=terms, window=self.window, batch=self.batch, batch_cost=self.batch_cost,
                runs=self.runs, seed=self.seed, on_progress=show,
            )  # fmt: skip

    def size(
        self,
        plan: "Plan",
        uplinks: "Trace",
        share: int,
        machines: EngineFlags,
        terms: TermsFlags,
    ) -> "FleetSizing":
        """Find the machines for each engine, and show how far that is. Raises what `size_fleet` does."""
        from partitioner.common.units import parse_duration
        from partitioner.simulation.sizing.load import Batching, FleetLoad, Sampling
        from partitioner.simulation.sizing.search import size_fleet

        if self.p99 is None:
            raise UsageError("--engine needs to know what for. Give --p99 300ms.")
        given = {
            "--workers": self.workers,
            "--deadline": self.deadline,
            "--minimize": None if self.minimize == "latency" else self.minimize,
            "--duration": None if self.duration == _DURATION else self.duration,
            "--runs": None if self.runs == 1 else self.runs,
            "--price-worker-hour": terms.price_worker_hour,
        }
        if other := next((name for name, value in given.items() if value is not None), None):
            raise UsageError(
                f"{other} is of a fleet on workers, and --engine of one on machines, which takes the "
                "runs that it needs. Give one of them."
            )
        load = FleetLoad(self.devices, self.fps, parse_duration(self.p99), self.window, share)
        with progress() as bar:
            task = bar.add_task("sizing", total=None)

            def show(what: str, done: int, _total: int) -> None:
                bar.update(task, description=what, completed=done)

            return size_fleet(
                plan, uplinks, load, machines.machine(terms.price_gb), machines.read(), options=self.options,
                batching=Batching(self.batch, self.batch_cost), sampling=Sampling(self.seed),
                on_progress=show,
            )  # fmt: skip


def fleet(
    bundle: BundleArgument,
    link: LinkFlags,
    uplink: UplinkFlags,
    load: FleetFlags,
    machines: EngineFlags,
    terms: TermsFlags,
    profiles: ProfileFlags,
    output: RowsFlags,
    codec: OnlyCodec = None,
    accuracy_drop: AccuracyDrop = None,
) -> None:
    """Run many devices on shared uplinks and one cloud: latency, deadlines, load, energy and the bill.

    With a --trace, --rtt and --down say what it does not. A picture has the distribution of latencies. With
    --engine it says how many machines keep --p99 behind each serving engine, and what they cost.

    Exit status 6: nothing keeps the --p99; the message, and with --json the document on stdout, names the
    nearest miss.

    Example: splitpoint simulate fleet resnet50 --link 20mbit,50ms --devices 200 --fps 2 --minimize cost
    --p99 300ms --price-worker-hour 0.17

    Example: splitpoint simulate fleet resnet50 --link 20mbit,50ms --devices 10000 --fps 2 --p99 300ms
    --engine all --machine-cores 16 --price-machine-hour 0.77 --spare 1
    """
    if find_spec("simpy") is None:
        raise UsageError("fleets need simpy. Install it with: pip install 'splitpoint[simulate]'.")
    from partitioner.bundle.bundle import Bundle
    from partitioner.common.files import write_csv
    from partitioner.planning.plan import plan as make_plan
    from partitioner.reports.plans.guesses import guess_notes, ranges_json
    from partitioner.reports.plans.plan import scale_notes
    from partitioner.reports.simulations.fleet import draw_fleet, run_rows
    from protos.errors import InfeasibleError

    output.check()
    machines.check()
    if machines.are_asked_for and output.plot:
        raise UsageError("a sizing is a table, of which there is no picture. Leave --plot out.")
    uplinks = uplink.read(link)
    priced = terms.read()
    loaded = Bundle.load(bundle)
    measured, target = profiles.read(loaded, priced.device), profiles.target(priced.device)
    plan = make_plan(
        loaded,
        uplinks.mean_link(uplink.share),
        *measured,
        codec=codec,
        accuracy_drop=accuracy_drop,
    )
    if machines.are_asked_for:
        found = load.size(plan, uplinks, uplink.share, machines, terms)
        _report_sizing(found, loaded, plan, target, output)
        return
    try:
        done = load.simulate(plan, uplinks, uplink.share, priced)
    except InfeasibleError as error:
        if output.as_json:
            print_json(document_with_flags(error.document))
        raise
    if output.csv:
        write_csv(output.csv, ("run", *done.each[0]), run_rows(done.each))
    if output.plot:
        draw_fleet(done.runs, done.deadline_s, output.plot)
    if output.as_json:
        bundle_json = {"name": loaded.name, "digest": loaded.digest}
        ranges = ranges_json(plan, target)
        print_json({"bundle": bundle_json, **done.to_dict(), "not_measured": ranges})
        return
    _show(done)
    for note in (*guess_notes(plan, target), *scale_notes(plan)):
        remark(f"Note: {note}")
    output.tell()


def _report_sizing(
    found: "FleetSizing", bundle: "Bundle", plan: "Plan", target: "Device | None", output: RowsFlags
) -> None:
    from partitioner.common.files import write_csv
    from partitioner.reports.plans.guesses import guess_notes, ranges_json
    from partitioner.reports.plans.plan import scale_notes
    from partitioner.reports.simulations.machines import notes, nothing_keeps, sizing_rows

    rows = sizing_rows(found)
    if output.csv:
        write_csv(output.csv, tuple(rows[0]), (tuple(row.values()) for row in rows))
    missed = nothing_keeps(found)
    if output.as_json:
        bundle_json = {"name": bundle.name, "digest": bundle.digest}
        ranges = ranges_json(plan, target)
        document = {"bundle": bundle_json, **found.to_dict(), "not_measured": ranges}
        print_json(document | (document_with_flags(missed.document) if missed else {}))
    else:
        _show_sizing(found, is_kept=missed is None)
        for note in (*notes(found), *guess_notes(plan, target), *scale_notes(plan)):
            remark(f"Note: {note}")
        output.tell()
    if missed:
        raise missed


def _show_sizing(found: "FleetSizing", *, is_kept: bool) -> None:
    """Show the table, and above it what it comes to, unless nothing keeps the p99, which the error says."""
    from partitioner.reports.simulations.machines import (
        fates_text,
        machine_text,
        sizing_table,
        sizing_text,
    )

    if is_kept:
        screen.print(sizing_text(found))
    screen.print(sizing_table(found))
    for text in filter(None, (fates_text(found), machine_text(found))):
        screen.print(text)


def _show(done: "FleetSimulation") -> None:
    from partitioner.reports.simulations.fleet import (
        considered_table,
        fleet_table,
        fleet_text,
        worker_text,
    )

    screen.print(fleet_text(done))
    screen.print(fleet_table(done))
    if done.provision and len(done.provision.considered) > 1:
        screen.print(considered_table(done.provision))
    screen.print(worker_text(done))


def _worker_count(text: str | None) -> "int | Literal['auto'] | None":
    if text is None or text == _AUTO:
        return "auto" if text else None
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise UsageError(f"--workers {text!r} is no number of workers. Give 1 or more, or auto.")
    return int(text)
