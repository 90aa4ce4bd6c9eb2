"""The main job on real frames: cut a model, serve both halves, stream, and compare honestly.

    python examples/digits/demo.py --bandwidth 3mbit --rtt 40ms

Three ways are really run, one after the other, on the same frames and the same link: everything in the
cloud with JPEG input, everything on the edge, and the plan's best split: cut and codec that lose no more
accuracy than allowed, as measured on other frames when the bundle was calibrated.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from slow_share import SLOWER, shares

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FRAMES = HERE / "frames"
BUNDLE = HERE / "bundle"

console = Console(highlight=False)


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bandwidth", default="4mbit", help="of the link, both ways (4mbit)")
    parser.add_argument("--rtt", default="30ms", help="of the link (30ms)")
    parser.add_argument(
        "--accuracy-drop", default="0.5", help="points that the split may lose (0.5)"
    )
    parser.add_argument("--fps", default="12", help="frames a second of the camera (12)")
    parser.add_argument("--max-frames", default="100", help="frames of each run (100)")
    parser.add_argument("--budget", default="3s", help="for profiling each side (3s)")
    parser.add_argument("--out", default="demo-output", help="folder for plots and results")
    arguments = parser.parse_args()
    try:
        demonstrate(arguments)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(map(str, error.cmd[1:4]))} … ended with status {error.returncode}")
    except KeyboardInterrupt:
        sys.exit("interrupted")


def demonstrate(arguments: argparse.Namespace) -> None:
    """Start cloud, link and edge; profile, plan, and run the three ways."""
    out = Path(arguments.out)
    out.mkdir(exist_ok=True)
    bundle = out / "digits"
    shutil.rmtree(bundle, ignore_errors=True)
    shutil.copytree(BUNDLE, bundle)
    with ExitStack() as stack:
        fast, slowly = stack.enter_context(shares())
        serve = ("serve", "--bundles", bundle, "--listen", "127.0.0.1:0")
        cloud = stack.enter_context(started(fast, out, "splitpoint-cloud", *serve))["address"]
        way = ("--bandwidth", arguments.bandwidth, "--rtt", arguments.rtt)
        relay = ("link", "--listen", "127.0.0.1:0", "--to", cloud, *way)
        address = stack.enter_context(started(fast, out, "splitpoint-edge", *relay))["listen"]
        introduce(arguments, cloud, address, slowly)
        plan, everything = make_plans(arguments, bundle, address, out, slowly)
        split = best_split(plan)
        ways = {
            "cloud-only, JPEG": ("--cut", "cloud", "--codec", "jpeg"),
            "edge-only": ("--cut", "edge"),
            f"split {split['cut']}, {split['codec']}": (
                "--cut",
                split["cut"],
                "--codec",
                split["codec"],
            ),
        }
        summaries = {
            name: stream(name, words, arguments, bundle, address, out, slowly)
            for name, words in ways.items()
        }
    conclude(summaries, plan, everything, out)


def introduce(arguments: argparse.Namespace, cloud: str, address: str, slowly: set[int]) -> None:
    """Say what runs where."""
    share = (
        f"a share of one core, about {SLOWER} times slower than the cloud"
        if slowly
        else "at full speed: this machine lets us make no slower share for it"
    )
    console.print("[bold]Splitpoint[/]: one network, two machines. Digits in photographs, 320x320.")
    console.print(f"  cloud  {cloud}, at full speed")
    console.print(f"  link   {address}, {arguments.bandwidth} both ways, RTT {arguments.rtt}")
    console.print(f"  edge   {share}\n")


def make_plans(
    arguments: argparse.Namespace, bundle: Path, address: str, out: Path, slowly: set[int]
) -> tuple[Any, Any]:
    """Profile both sides and print the plan as the command prints it; return it, and all options priced,
    whatever they lose."""
    with console.status("profiling every head here and every tail in the cloud"):
        words = [
            "profile",
            bundle,
            "--cloud",
            address,
            "--budget",
            arguments.budget,
            "--data",
            FRAMES,
        ]
        run_command("splitpoint", *words, "--json", slowly=slowly)
    words = ["plan", bundle, "--bandwidth", arguments.bandwidth, "--rtt", arguments.rtt]
    bound = ("--accuracy-drop", arguments.accuracy_drop)
    plot = ("--plot", out / "plan.png", "--json")
    plan = json.loads(run_command("splitpoint", *words, *bound, *plot))
    console.print(run_command("splitpoint", *words, *bound), markup=False, end="\n\n")
    everything = run_command("splitpoint", *words, "--accuracy-drop", 100, "--json")
    return plan, json.loads(everything)


def best_split(plan: Any) -> Any:
    """Return the plan's best option among those that really split."""
    interior = [option for option in plan["options"] if option["cut"] not in ("cloud", "edge")]
    return min(interior, key=lambda option: option["total_s"])


def stream(
    name: str,
    words: tuple[str, ...],
    arguments: argparse.Namespace,
    bundle: Path,
    address: str,
    out: Path,
    slowly: set[int],
) -> Any:
    """Stream the frames through the edge client, with a live line; return its summary."""
    command = [
        *program("splitpoint-edge", slowly), "run", "--json", "--cloud", address, "--bundle", str(bundle),
        "--source", str(FRAMES), "--labels", str(FRAMES / "labels.csv"), "--fps", arguments.fps,
        "--max-frames", arguments.max_frames, *words,
    ]  # fmt: skip
    results = (out / f"{words[1]}.jsonl").open("w")
    columns = (TextColumn("{task.description:32}"), BarColumn(bar_width=24), MofNCompleteColumn())
    summary: Any = None
    with results, Progress(*columns, TextColumn("{task.fields[now]}"), console=console) as bar:
        task = bar.add_task(name, total=int(arguments.max_frames), now="")
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            for line in process.stdout or ():
                results.write(line)
                record = json.loads(line)
                summary = record.get("summary", summary)
                if "frame" in record:
                    label = (record["top1"] or {}).get("label", "?")
                    bar.update(
                        task, advance=1, now=f"{1e3 * record['latency_s']:6.1f} ms  sees {label}"
                    )
            problem = process.stderr.read() if process.stderr else ""
    if process.returncode or summary is None:
        console.print(problem, markup=False)
        raise subprocess.CalledProcessError(process.returncode, command)
    return summary


def conclude(summaries: dict[str, Any], plan: Any, everything: Any, out: Path) -> None:
    """Print the comparison, the plan's choice, and where everything lies."""
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title="measured, beside the plan; ms",
        title_justify="left",
    )
    columns = ("accuracy", "plan", "p50", "p95", "bytes", "frames/s", "lost")
    for position, column in enumerate(("", *columns)):
        table.add_column(column, justify="right" if position else "left", no_wrap=True)
    fastest = min(summaries, key=lambda name: summaries[name]["latency_s"]["p50"])
    for name, summary in summaries.items():
        latency = summary["latency_s"]
        table.add_row(
            name,
            f"{100 * summary['accuracy']:.1f} %",
            f"{1e3 * predicted_s(everything, summary):.1f}",
            f"{1e3 * latency['p50']:.1f}",
            f"{1e3 * latency['p95']:.1f}",
            f"{summary['upload_bytes']:,.0f}",
            f"{summary['fps']:.1f}",
            str(summary["failed"] + summary["dropped"]),
            style="bold green" if name == fastest else None,
        )
    console.print(table)
    best = plan["best"]
    chosen = best["cut"] if best["cut"] == "edge" else f"{best['cut']} with {best['codec']}"
    console.print(
        f"The plan's choice on this link: [bold]{chosen}[/]. Fastest of the three: {fastest}."
    )
    console.print(f"Plot: {out / 'plan.png'}   Every frame: {out}/*.jsonl")


def predicted_s(plan: Any, summary: Any) -> float:
    """Return the seconds that the plan predicted for the one option that a run served frames with."""
    (label,) = summary["cuts"]
    found = next(
        option
        for option in plan["options"]
        if label in (option["cut"], f"{option['cut']}/{option['codec']}")
    )
    return float(found["total_s"])


@contextmanager
def started(cores: set[int], out: Path, *words: object) -> Iterator[Any]:
    """Run a server of ours until the end of the block; give the JSON line that says it is ready."""
    command = [*program(str(words[0]), cores), *map(str, words[1:]), "--json"]
    log = out / f"{words[1]}.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                console.print(log.read_text(), markup=False)
                raise subprocess.CalledProcessError(process.wait(), command)
            yield json.loads(line)
        finally:
            process.terminate()


def run_command(*words: object, slowly: set[int] | None = None) -> str:
    """Run one of our commands and return what it printed."""
    command = [*program(str(words[0]), slowly), *map(str, words[1:])]
    environment = {**os.environ, "COLUMNS": str(console.width)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        console.print(done.stderr, markup=False)
        raise subprocess.CalledProcessError(done.returncode, command)
    return done.stdout.strip("\n")


def program(name: str, cores: set[int] | None = None) -> list[str]:
    """Return the command line of one of our commands, which binds itself to `cores` once it is loaded."""
    package, heavy = {
        "splitpoint": ("partitioner", "partitioner.profiling, partitioner.remote"),
        "splitpoint-edge": ("edge_client", "edge_client.running"),
        "splitpoint-cloud": ("cloud_server", "cloud_server.server"),
    }[name]
    bind = f"import os, {heavy}; os.sched_setaffinity(0, {cores}); " if cores else ""
    return [sys.executable, "-c", f"{bind}from {package}.cli import main; main()"]


if __name__ == "__main__":
    main()
