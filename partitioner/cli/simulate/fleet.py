"""`splitpoint simulate fleet`."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from partitioner.cli.flags.arguments import AccuracyDrop, BundleArgument, OnlyCodec
from partitioner.cli.flags.link import LinkFlags
from partitioner.cli.flags.output import RowsFlags
from partitioner.cli.flags.profiles import ProfileFlags
from partitioner.cli.flags.terms import TermsFlags
from partitioner.common.defaults import DEFAULT_WINDOW
from partitioner.settings.panels import LINK, LOAD
from partitioner.terminal.console import print_json, progress, remark, screen
from partitioner.terminal.flags import flag
from protos.errors import UsageError

if TYPE_CHECKING:
    from partitioner.network.link import Link
    from partitioner.network.trace import Trace
    from partitioner.simulation.demand import Demand
    from partitioner.simulation.fleet.fleet import Fleet, FleetRun

AUTO = "auto"


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
    share: Annotated[int, flag("Devices on each uplink.", "N", panel=LINK, min=1)] = 1

    def read(self, link: LinkFlags) -> "Trace":
        """Return the uplinks: a link that never changes, or the trace, with what it does not say.

        Raises UsageError or TraceError.
        """
        from partitioner.network.trace import Trace
        from partitioner.network.trace_files import read_trace

        constant = link.link or link.bandwidth
        if (constant is None) == (self.trace is None):
            raise UsageError(
                "a fleet needs uplinks: give either --bandwidth 20mbit or --trace FILE, each with --rtt; or "
                "--link 20mbit,50ms."
            )
        if self.trace is None:
            return Trace.constant(link.read())
        return read_trace(self.trace).filled(*link.read_beside_trace())


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
            default="the best of the plan on the mean share of an uplink",
        ),
    ] = None
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
        str,
        flag(
            "Workers of the cloud; auto: as few as --p99 allows.",
            "N",
            panel=LOAD,
            choices=lambda: (AUTO,),
        ),
    ] = "1"
    p99: Annotated[
        str | None, flag("With --workers auto: the p99 to keep.", "TIME", panel=LOAD)
    ] = None
    batch: Annotated[int, flag("Frames that a worker takes at once.", "N", panel=LOAD, min=1)] = 1
    batch_cost: Annotated[
        float,
        flag("A further frame in a batch takes this part of a frame alone.", "SHARE", panel=LOAD),
    ] = 1.0
    duration: Annotated[str, flag("Simulated time of a run.", "TIME", panel=LOAD)] = "10min"
    runs: Annotated[int, flag("Independent runs.", "N", panel=LOAD, min=1)] = 1
    seed: Annotated[int, flag("Equal seeds give equal results.", "N", panel=LOAD, min=0)] = 0

    def check(self) -> None:
        """Raise UsageError for a rate without meaning."""
        if not 0 < self.fps < float("inf"):
            raise UsageError(f"--fps {self.fps} has no meaning. Give a rate above 0, such as 2.")

    def fleet(self, demands: "Sequence[Demand]", uplinks: "Trace", share: int) -> "Fleet":
        """Return the fleet whose devices ask for these in turn. Raises UsageError."""
        from partitioner.common.units import parse_duration
        from partitioner.simulation.fleet.fleet import Fleet

        return Fleet(
            tuple(demands), uplinks, self.devices, 1 / self.fps, self.window,
            _worker_count(self.workers, self.p99), share, self.batch, self.batch_cost,
            parse_duration(self.duration), device_paced=self.deadline is not None,
        )  # fmt: skip


def fleet(
    bundle: BundleArgument,
    link: LinkFlags,
    uplink: UplinkFlags,
    load: FleetFlags,
    terms: TermsFlags,
    profiles: ProfileFlags,
    output: RowsFlags,
    codec: OnlyCodec = None,
    accuracy_drop: AccuracyDrop = None,
) -> None:
    """Run many devices on shared uplinks and one cloud: latency, deadlines, load, energy and the bill.

    With a --trace, --rtt and --down say what it does not. A picture has the distribution of latencies.

    Example: splitpoint simulate fleet resnet50 --trace tram.txt --rtt 50ms --workers auto --p99 200ms
    """
    if find_spec("simpy") is None:
        raise UsageError("fleets need simpy. Install it with: pip install 'splitpoint[simulate]'.")
    from partitioner.bundle.bundle import Bundle
    from partitioner.common.files import write_csv
    from partitioner.common.units import parse_duration
    from partitioner.planning.plan import plan as make_plan
    from partitioner.reports.plans.plan import scale_notes
    from partitioner.reports.simulations.fleet import (
        Bill,
        draw_fleet,
        fleet_json,
        fleet_table,
        fleet_text,
        measures,
        run_rows,
        summarise,
    )
    from partitioner.simulation.demand import demands_of, pick

    load.check()
    output.check()
    uplinks = uplink.read(link)
    priced = terms.read()
    loaded = Bundle.load(bundle)
    mean = _mean_link(uplinks, uplink.share)
    measured = profiles.read(loaded, priced.device)
    plan = make_plan(loaded, mean, *measured, codec=codec, accuracy_drop=accuracy_drop)
    chosen = pick(demands_of(plan), load.options or [plan.best.label])
    asked = load.fleet(chosen, uplinks, uplink.share)
    p99_s = parse_duration(load.p99) if load.p99 else None
    deadline_s = parse_duration(load.deadline) if load.deadline else p99_s
    done = _simulate(asked, load.runs, load.seed, p99_s if load.workers == AUTO else None)
    bill = Bill(priced.device, priced.radio, priced.prices)
    each = [measures(run, deadline_s, bill) for run in done]
    if output.csv:
        write_csv(output.csv, ("run", *each[0]), run_rows(each))
    if output.plot:
        draw_fleet(done, deadline_s, output.plot)
    if output.as_json:
        bundle_json = {"name": loaded.name, "digest": loaded.digest}
        print_json({"bundle": bundle_json, **fleet_json(done, each, load.seed)})
        return
    summary = summarise(each)
    screen.print(fleet_text(done, summary, p99_s if load.workers == AUTO else None))
    screen.print(fleet_table(done, summary))
    for note in scale_notes(plan):
        remark(f"Note: {note}")
    output.tell()


def _mean_link(uplinks: "Trace", share: int) -> "Link":
    """Return what one of `share` devices has of an uplink on average; answers have a downlink each."""
    from partitioner.network.link import Link

    up, down, rtt = uplinks.uplink_bps, uplinks.downlink_bps, uplinks.rtt_s
    return Link(up.mean / share, (down or up).mean, rtt.mean if rtt else 0.0)


def _worker_count(text: str, p99: str | None) -> int:
    if text == AUTO:
        if p99 is None:
            raise UsageError("--workers auto needs to know what for: --p99 200ms.")
        return 1
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise UsageError(f"--workers {text!r} is no number of workers. Give 1 or more, or auto.")
    return int(text)


def _simulate(asked: "Fleet", runs: int, seed: int, p99_s: float | None) -> "list[FleetRun]":
    """Run the fleet, first with as few workers as keep the p99 if one is given."""
    from partitioner.common.units import plural
    from partitioner.simulation.fleet.fleet import find_workers, run_fleet

    with progress() as bar:
        task = bar.add_task("simulating", total=None)

        def run_once(fleet: "Fleet", run: int, what: str) -> "FleetRun":
            bar.update(task, description=what, completed=0, total=round(fleet.duration_s))
            return run_fleet(fleet, seed, run, lambda now: bar.update(task, completed=round(now)))

        def p99_of(fleet: "Fleet") -> float:
            return run_once(fleet, 0, plural(fleet.workers, "worker")).latency_s(99)

        if p99_s is not None:
            asked = find_workers(asked, p99_s, p99_of)
        return [run_once(asked, run, f"run {run + 1} of {runs}") for run in range(runs)]
