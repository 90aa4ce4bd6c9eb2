"""The demo's first part: three ways really run on one link, and the plan beside what was measured."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes import console, follow, started
from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from partitioner.common.units import format_duration, format_rate
from partitioner.planning.option import Option
from partitioner.profiles.store import find_profiles
from protos.names import CLOUD, EDGE
from splitpoint import Bundle, Link, plan

FRAMES = Path(__file__).resolve().parent / "frames"
SHORT = 8
"""Frames of a run whose latency alone is wanted."""


@dataclass(frozen=True)
class Scene:
    """What all runs have in common."""

    out: Path
    bundle: Path
    cloud: str
    slow: float
    fps: float
    accuracy_drop: float

    def ways(self, link: Link) -> "tuple[Way, ...]":
        """Return the three ways on a link: all as JPEG in the cloud, all on the edge, and the best split."""
        bundle = Bundle.load(self.bundle)
        profiles = find_profiles(bundle, edge_scale=self.slow)
        every = plan(bundle, link, *profiles, accuracy_drop=100).options
        allowed = plan(bundle, link, *profiles, accuracy_drop=self.accuracy_drop).options
        splits = [option for option in allowed if option.cut not in (CLOUD, EDGE)]
        split = min(splits, key=lambda option: option.total_s)
        return (
            Way("cloud-only, JPEG", next(one for one in every if "jpeg" in one.codec)),
            Way("edge-only", next(one for one in every if one.cut == EDGE)),
            Way(f"split {split.cut}, {split.codec}", split),
        )


@dataclass(frozen=True)
class Way:
    """A way to run the frames on one link, as the plan prices it."""

    name: str
    option: Option

    @property
    def words(self) -> tuple[str, ...]:
        """What the edge is told."""
        codec = ("--codec", self.option.codec) if self.option.cut != EDGE else ()
        return ("--cut", self.option.cut, *codec)


@dataclass(frozen=True)
class Run:
    """A way that was run on a link, and the summary of its frames."""

    way: Way
    link: Link
    summary: Any

    @property
    def median_s(self) -> float:
        """The latency that half of the frames did not exceed."""
        return float(self.summary["latency_s"]["p50"])

    @property
    def planned_s(self) -> float:
        """What the plan says of it."""
        return self.way.option.total_s

    @property
    def off(self) -> float:
        """How far the plan is above the median, as a share of it."""
        return self.planned_s / self.median_s - 1

    @property
    def worst_part(self) -> tuple[str, float, float]:
        """The part of a frame that is furthest from the plan: its name, planned and measured seconds."""
        option, found = self.way.option, self.summary
        parts = (
            ("on the edge", option.edge_s - option.handing_s, found["edge_s"]),
            ("in the network", option.network_s, found["network_s"]),
            ("in the cloud", option.cloud_s, found["queue_s"] + found["cloud_s"]),
            ("waiting", option.handing_s, found["wait_s"]),
        )
        return max(parts, key=lambda part: abs(part[2] - part[1]))


@contextmanager
def played(scene: Scene, link: Link) -> Iterator[str]:
    """Be a link to the cloud until the end of the block; give its address."""
    rates = ("--bandwidth", f"{link.uplink_bps:.0f}bit", "--down", f"{link.downlink_bps:.0f}bit")
    way = ("--to", scene.cloud, *rates, "--rtt", f"{link.rtt_s}s")
    with started(scene.out, "splitpoint-edge", "link", "--listen", "127.0.0.1:0", *way) as relay:
        yield relay["listen"]


def compare(scene: Scene, link: Link, frames: int) -> list[Run]:
    """Run all three ways on a link, with a live line each, and print them beside the plan."""
    with played(scene, link) as address:
        runs = [stream(scene, way, link, address, frames) for way in scene.ways(link)]
    _print_table(runs, link)
    ranked = sorted(runs, key=lambda run: run.median_s)
    less = 1 - ranked[0].median_s / ranked[1].median_s
    console.print(
        f"Fastest of the three: [bold green]{ranked[0].way.name}[/], {100 * less:.0f} % less than "
        f"{ranked[1].way.name}.",
        soft_wrap=True,
    )
    return runs


def compare_shortly(scene: Scene, link: Link, where: str, here: Run) -> list[Run]:
    """Say in a line which way wins on another link, and return what was run for it.

    `here` is the edge alone, which no link changes. The split is run, and what the plan holds for better.
    """
    jpeg, _, split = scene.ways(link)
    asked = [split] + [jpeg] * (jpeg.option.total_s < here.planned_s)
    with played(scene, link) as address:
        runs = [stream(scene, way, link, address, SHORT, f"{where}-") for way in asked]
    first, *others = sorted([*runs, here], key=lambda run: run.median_s)
    told = [f"{run.way.name} {ms(run.median_s)} ({ms(run.planned_s)})" for run in others]
    if jpeg not in asked:
        told.append(f"{jpeg.name} {ms(jpeg.option.total_s)} by the plan, not run")
    console.print(
        f"On {link_text(link)}: [bold green]{first.way.name}[/] wins with {ms(first.median_s)} ms "
        f"({ms(first.planned_s)} planned), before {', '.join(told)}.",
        soft_wrap=True,
    )
    return runs


def stream(scene: Scene, way: Way, link: Link, address: str, frames: int, prefix: str = "") -> Run:
    """Stream frames through the edge, with a live line, and keep a record of each."""
    name = f"{prefix}{way.option.cut}"
    columns = (TextColumn("{task.description:32}"), BarColumn(bar_width=24), MofNCompleteColumn())
    now = TextColumn("{task.fields[now]}")
    summary: Any = None
    with (
        (scene.out / f"{name}.jsonl").open("w") as results,
        Progress(*columns, now, console=console, transient=bool(prefix)) as bar,
    ):
        task = bar.add_task(way.name, total=frames, now="")
        for record in follow(
            scene.out / f"{name}.log",
            "splitpoint-edge", "run", "--json", "--cloud", address, "--bundle", scene.bundle,
            "--source", FRAMES, "--labels", FRAMES / "labels.csv", "--slow", f"{scene.slow:g}",
            "--fps", f"{scene.fps:g}", "--window", 1, "--max-frames", frames, *way.words,
        ):  # fmt: skip
            results.write(json.dumps(record) + "\n")
            summary = record.get("summary", summary)
            if "frame" in record:
                label = (record["top1"] or {}).get("label", "?")
                seen = f"{1e3 * record['latency_s']:6.1f} ms  digit {label}"
                bar.update(task, advance=1, now=seen)
    return Run(way, link, summary)


def _print_table(runs: Sequence[Run], link: Link) -> None:
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=f"measured on {link_text(link)}, beside the plan; ms",
        title_justify="left",
    )
    columns = ("accuracy", "plan", "p50", "p95", "bytes", "frames/s", "lost")
    for position, column in enumerate(("", *columns)):
        table.add_column(column, justify="right" if position else "left", no_wrap=True)
    fastest = min(runs, key=lambda run: run.median_s)
    for run in runs:
        summary = run.summary
        table.add_row(
            run.way.name,
            f"{100 * summary['accuracy']:.1f} %",
            ms(run.planned_s),
            ms(run.median_s),
            ms(summary["latency_s"]["p95"]),
            f"{summary['upload_bytes']:,.0f}",
            f"{summary['fps']:.1f}",
            str(summary["failed"] + summary["dropped"]),
            style="bold green" if run is fastest else None,
        )
    console.print(table)


def link_text(link: Link) -> str:
    """Return a link in the words of the demo."""
    return f"{format_rate(link.uplink_bps)} and {format_duration(link.rtt_s)}"


def ms(seconds: float) -> str:
    """Return milliseconds as the demo writes them."""
    return f"{1e3 * seconds:.1f}"
