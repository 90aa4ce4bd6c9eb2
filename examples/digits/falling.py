"""The demo's second part: a bandwidth that falls and recovers, a cloud that is killed and comes back, and an
edge that moves its cut and loses no frame."""

import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from comparison import FRAMES, Scene
from processes import console, follow, started
from rich import box
from rich.live import Live
from rich.table import Table

from partitioner.common.units import plural

CONNECTING_S = 4.0
"""That the edge has to connect and choose before its first frame is due."""
TELEMETRY = "10s"
"""Between two snapshots of the edge; with them its records say when its health changes."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Phase:
    """What the edge has to cope with, and for how long."""

    name: str
    uplink_mbit: float
    seconds: float
    cloud: bool = True


@dataclass
class Cloud:
    """The cloud's process, which may be killed and started again at the same address."""

    start: Callable[[str], Any]
    """Starts the server at an address; gives a context manager of its JSON line."""
    address: str
    stack: ExitStack | None = None
    listening_at: float | None = None
    """By time.monotonic: since when it has listened; None while it does not."""
    starting: threading.Thread | None = None

    def begin(self) -> None:
        """Start it, unless it runs, and wait until it listens."""
        self.begin_soon()
        if self.starting is not None:
            self.starting.join()

    def begin_soon(self) -> None:
        """Start it, unless it runs or starts already, and do not wait."""
        if self.stack is None and self.starting is None:
            self.starting = threading.Thread(target=self._start)
            self.starting.start()

    def _start(self) -> None:
        stack = ExitStack()
        ready = stack.enter_context(self.start(self.address))
        self.process, self.address = ready["process"], ready["address"]
        self.stack, self.listening_at = stack, time.monotonic()

    def kill(self) -> None:
        """End it without a word, as a power cut would."""
        if self.starting is not None:
            self.starting.join()
        self.starting = self.listening_at = None
        if self.stack is not None:
            self.process.kill()
            self.stack.close()
            self.stack = None


STARTING = Phase("the cloud starts", 20.0, 0.0)
"""Until it listens; takes as long as it does."""


@dataclass
class Comeback:
    """When the cloud listened again, and when the edge knew and used it, by time.monotonic."""

    listening_at: float | None = None
    known_at: float | None = None
    used_at: float | None = None

    def note(self, record: Record, cloud: Cloud) -> None:
        """Take note of what the edge says after the cloud was away."""
        if cloud.listening_at is None:
            return
        now_s, self.listening_at = time.monotonic(), cloud.listening_at
        if self.known_at is None and (
            record.get("health", {}).get("health") in ("degraded", "healthy")
            or record.get("served_by") == "cloud"
        ):
            self.known_at = now_s
        if self.used_at is None and record.get("served_by") == "cloud":
            self.used_at = now_s

    def sentence(self) -> str:
        """Say how long it took."""
        if self.listening_at is None:
            return "The cloud has not come back in time."
        if self.known_at is None:
            return "The cloud is back, and the edge does not know of it yet."
        known = f"The cloud listened again, {self.known_at - self.listening_at:.1f} s later the edge said so"
        if self.used_at is None:
            return f"{known}, and on this link nothing was worth leaving the edge for."
        return f"{known}, and {self.used_at - self.listening_at:.1f} s later it had a frame served there."


def phases(each_s: float) -> list[Phase]:
    """Return what happens, `each_s` for each."""
    return [
        Phase("a good link", 20.0, each_s),
        Phase("the link falls", 2.0, each_s),
        Phase("the link recovers", 20.0, each_s),
        Phase("the cloud is killed", 20.0, each_s, cloud=False),
        Phase("the cloud is back", 20.0, 1.5 * each_s),
    ]


def adapt(cloud: Cloud, scene: Scene, *, rtt_s: float, phase_s: float) -> None:
    """Stream through all phases with the cut `auto`, show it live, and say what became of the frames."""
    plan, rtt = phases(phase_s), f"{rtt_s}s"
    trace = scene.out / "falling.txt"
    trace.write_text(_trace(plan))
    frames = round(scene.fps * (CONNECTING_S / 2 + sum(phase.seconds for phase in plan)))
    console.print(
        f"\n[bold]Now the link falls, and the cloud is killed.[/] {plural(frames, 'frame')}, {scene.fps:g} "
        "a second, the cut left to the edge."
    )
    cloud.begin()
    way = ("link", "--listen", "127.0.0.1:0", "--to", cloud.address, "--rtt", rtt)
    with started(scene.out, "splitpoint-edge", *way, "--trace", trace) as relay:
        clock = partial(_elapsed, time.monotonic())
        words = (
            "splitpoint-edge", "run", "--json", "--cloud", relay["listen"], "--bundle", scene.bundle,
            "--source", FRAMES, "--labels", FRAMES / "labels.csv", "--slow", f"{scene.slow:g}",
            "--loop", "--fps", f"{scene.fps:g}", "--max-frames", frames,
            "--cut", "auto", "--link", f"20mbit,{rtt}", "--telemetry", TELEMETRY,
        )  # fmt: skip
        seen, summary, comeback = _watch(words, plan, cloud, clock, frames, scene.out)
    _conclude([*plan[:-1], STARTING, plan[-1]], seen, summary, frames)
    console.print(comeback.sentence())


def _trace(plan: Sequence[Phase]) -> str:
    """Return the relay's trace, a line a second: `seconds Mbit/s`."""
    seconds = math.ceil(CONNECTING_S + sum(phase.seconds for phase in plan)) + 60
    rates = [_at(plan, second - CONNECTING_S).uplink_mbit for second in range(seconds)]
    return "".join(f"{second} {rate:g}\n" for second, rate in enumerate(rates))


def _elapsed(begun_at: float) -> float:
    return time.monotonic() - begun_at - CONNECTING_S


def _at(plan: Sequence[Phase], elapsed_s: float) -> Phase:
    """Return the phase at a time; the last one when it is over."""
    for phase in plan:
        elapsed_s -= phase.seconds
        if elapsed_s < 0:
            return phase
    return plan[-1]


def _watch(
    words: Sequence[object],
    plan: Sequence[Phase],
    cloud: Cloud,
    clock: Callable[[], float],
    frames: int,
    out: Path,
) -> tuple[list[tuple[Phase, Record]], Record, Comeback]:
    seen: list[tuple[Phase, Record]] = []
    summary: Record = {}
    comeback, was_killed = Comeback(), False
    with (out / "adaptive.jsonl").open("w") as results, _display(frames) as show:
        for record in follow(out / "adaptive.log", *words):
            results.write(json.dumps(record) + "\n")
            summary = record.get("summary", summary)
            if was_killed:
                comeback.note(record, cloud)
            if "frame" not in record:
                continue
            phase = _at(plan, clock())
            if not phase.cloud:
                cloud.kill()
                was_killed = True
            elif cloud.listening_at is None:
                cloud.begin_soon()
                phase = STARTING
            seen.append((phase, record))
            show(phase, record)
    cloud.begin()
    return seen, summary, comeback


@contextmanager
def _display(frames: int) -> Iterator[Callable[[Phase, Record], None]]:
    """Give a function that shows a frame: a line for what is now, and a line for each move above it."""
    before: list[str] = []
    with Live(console=console, refresh_per_second=8, transient=True) as live:

        def show(phase: Phase, record: Record) -> None:
            now = (phase.name, _option(record), record["served_by"])
            if now != tuple(before):
                before[:] = now
                live.console.print(
                    _line(phase, record, frames) + f"  {record['reason']}",
                    markup=False,
                    no_wrap=True,
                    overflow="ellipsis",
                )
            live.update(_line(phase, record, frames))

        yield show


def _line(phase: Phase, record: Record, frames: int) -> str:
    return (
        f"{record['frame'] + 1:4}/{frames}  {phase.name:19} {phase.uplink_mbit:4g} Mbit/s  "
        f"{_option(record):15} {1e3 * record['latency_s']:5.0f} ms  by {record['served_by']:5}"
    )


def _option(record: Record) -> str:
    return record["cut"] if record["cut"] == "edge" else f"{record['cut']}/{record['codec']}"


def _conclude(
    plan: Sequence[Phase], seen: list[tuple[Phase, Record]], summary: Record, frames: int
) -> None:
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title="what became of it; ms", title_justify="left"
    )  # fmt: skip
    for place, column in enumerate(
        ("", "frames", "p50", "p95", "by cloud", "by edge", "lost", "cuts")
    ):
        table.add_column(
            column,
            justify="right" if 0 < place < 7 else "left",
            no_wrap=place < 7,
            overflow="fold" if place == 7 else "ellipsis",
        )
    for phase in plan:
        records = [record for found, record in seen if found is phase]
        if not records:
            continue
        p50, p95 = np.percentile([1e3 * record["latency_s"] for record in records], (50, 95))
        by = [record["served_by"] for record in records]
        cuts = list(dict.fromkeys(map(_option, records)))
        counts = (len(records), f"{p50:.0f}", f"{p95:.0f}", by.count("cloud"), by.count("edge"))
        table.add_row(phase.name, *map(str, counts), str(by.count("none")), ", ".join(cuts))
    console.print(table)
    numbers = [record["frame"] for _, record in seen]
    in_order = "in order, none twice" if numbers == list(range(frames)) else "NOT in order"
    lost = frames - len(numbers) + summary["failed"] + summary["dropped"]
    console.print(
        f"{plural(frames, 'frame')} in, {plural(len(numbers), 'result')} out, {in_order}; {lost} lost; "
        f"the cut moved {plural(summary['switches'], 'time')}, "
        f"{plural(sum(summary['fallbacks'].values()), 'frame was', 'frames were')} finished on the edge "
        "because the cloud failed."
    )
