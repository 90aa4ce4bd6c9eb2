"""The main job on real frames: cut a model, serve both halves, stream, and compare honestly.

    python examples/digits/demo.py --bandwidth 3mbit --rtt 15ms

Three ways are really run, one after the other, on the same frames and the same link: everything in the
cloud with JPEG input, everything on the edge, and the plan's best split: cut and codec that lose no more
accuracy than allowed, as measured on other frames when the bundle was calibrated. Then the link falls and
recovers, the cloud is killed and comes back, and the edge moves its cut and loses no frame.
"""

import argparse
import json
import shutil
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from falling import Cloud, adapt
from processes import Cores, begin, console, finish, follow, program, run_command, started
from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from slow_share import SLOWER, shares

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FRAMES = HERE / "frames"
BUNDLE = HERE / "bundle"


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bandwidth", default="3mbit", help="of the link, both ways (3mbit)")
    parser.add_argument("--rtt", default="15ms", help="of the link (15ms)")
    parser.add_argument(
        "--accuracy-drop", default="0.5", help="points that the split may lose (0.5)"
    )
    parser.add_argument("--fps", default="10", help="frames a second of the camera (10)")
    parser.add_argument("--max-frames", default="40", help="frames of each run (40)")
    parser.add_argument("--budget", default="6s", help="for profiling each side (6s)")
    parser.add_argument(
        "--phase", default="3", help="seconds of each phase of the falling link (3)"
    )
    parser.add_argument("--fresh", action="store_true", help="profile again, whatever is kept")
    parser.add_argument("--out", default="demo-output", help="folder for plots and results")
    arguments = parser.parse_args()
    try:
        demonstrate(arguments)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(map(str, error.cmd[1:4]))} … ended with status {error.returncode}")
    except KeyboardInterrupt:
        sys.exit("interrupted")


def demonstrate(arguments: argparse.Namespace) -> None:
    """Start cloud, link and edge; profile, plan, run the three ways, and let the link fall."""
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    bundle = out / "digits"
    for log in out.glob("*.log"):
        log.unlink()
    kept = take_bundle(bundle, fresh=arguments.fresh)
    with ExitStack() as stack:
        fast, slowly = stack.enter_context(shares())
        serve = partial(
            started, fast, out, "splitpoint-cloud", "serve", "--bundles", bundle, "--listen"
        )
        cloud = Cloud(serve, "127.0.0.1:0")
        cloud.begin()
        address = cloud.address
        stack.callback(cloud.kill)
        way = ("--bandwidth", arguments.bandwidth, "--rtt", arguments.rtt)
        relay = ("link", "--listen", "127.0.0.1:0", "--to", address, *way)
        link = stack.enter_context(started(fast, out, "splitpoint-edge", *relay))["listen"]
        introduce(arguments, address, link, slowly)
        if kept:
            tell_kept(bundle)
        else:
            measure(arguments, bundle, link, slowly)
        plan, everything = make_plans(arguments, bundle, out)
        summaries = {
            name: stream(name, words, arguments, bundle, link, out, slowly)
            for name, words in ways(plan).items()
        }
        conclude(summaries, plan, everything)
        adapt(
            cloud, bundle, ("--source", str(FRAMES), "--labels", str(FRAMES / "labels.csv")),
            out, slowly, fast, rtt=arguments.rtt, fps=float(arguments.fps),
            phase_s=float(arguments.phase),
        )  # fmt: skip
    console.print(f"Plot: {out / 'plan.png'}   Every frame: {out}/*.jsonl", soft_wrap=True)


def take_bundle(bundle: Path, *, fresh: bool) -> bool:
    """Copy the bundle, unless the copy of an earlier run is the same; True if that one has its profiles."""
    described = (BUNDLE / "bundle.json").read_bytes()
    same = bundle.exists() and (bundle / "bundle.json").read_bytes() == described
    if fresh or not same:
        shutil.rmtree(bundle, ignore_errors=True)
        # Profiles that another command has left there are of a device at full speed.
        shutil.copytree(BUNDLE, bundle, ignore=shutil.ignore_patterns("profiles"))
    return len(list((bundle / "profiles").glob("*.json"))) >= 2


def tell_kept(bundle: Path) -> None:
    """Say that profiles of an earlier run are used, when those were measured, and how to get others."""
    profiles = bundle / "profiles"
    found = [json.loads(path.read_text())["measured_at"] for path in profiles.glob("*.json")]
    console.print(
        f"Uses the profiles measured at {min(found)}. To measure again: delete {profiles}, or --fresh.\n",
        soft_wrap=True,
    )


def ways(plan: Any) -> dict[str, tuple[str, ...]]:
    """Return the three ways to be compared: a name, and the words that tell the edge."""
    split = best_split(plan)
    return {
        "cloud-only, JPEG": ("--cut", "cloud", "--codec", "jpeg"),
        "edge-only": ("--cut", "edge"),
        f"split {split['cut']}, {split['codec']}": (
            "--cut",
            split["cut"],
            "--codec",
            split["codec"],
        ),
    }


def introduce(arguments: argparse.Namespace, cloud: str, address: str, slowly: Cores) -> None:
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


def measure(arguments: argparse.Namespace, bundle: Path, address: str, slowly: Cores) -> None:
    """Profile both sides; the profiles stay in the copy of the bundle, for the next time."""
    with console.status("profiling every head here and every tail in the cloud"):
        budget = ("--budget", arguments.budget)
        words = ("profile", bundle, "--cloud", address, *budget, "--data", FRAMES, "--json")
        run_command("splitpoint", *words, slowly=slowly)


def make_plans(arguments: argparse.Namespace, bundle: Path, out: Path) -> tuple[Any, Any]:
    """Print the plan as the command prints it; return it, and all options priced, whatever they lose."""
    words = ("plan", bundle, "--bandwidth", arguments.bandwidth, "--rtt", arguments.rtt)
    bound = ("--accuracy-drop", arguments.accuracy_drop)
    asked = (
        (*bound, "--plot", out / "plan.png", "--json"),
        bound,
        ("--accuracy-drop", 100, "--json"),
    )
    with console.status("planning"):
        plan, table, everything = map(
            finish, [begin("splitpoint", *words, *more) for more in asked]
        )
    console.print(table, markup=False, end="\n\n")
    return json.loads(plan), json.loads(everything)


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
    slowly: Cores,
) -> Any:
    """Stream the frames through the edge client, with a live line; return its summary."""
    command = [
        *program("splitpoint-edge", slowly), "run", "--json", "--cloud", address, "--bundle", str(bundle),
        "--source", str(FRAMES), "--labels", str(FRAMES / "labels.csv"), "--fps", arguments.fps,
        "--max-frames", arguments.max_frames, *words,
    ]  # fmt: skip
    columns = (TextColumn("{task.description:32}"), BarColumn(bar_width=24), MofNCompleteColumn())
    summary: Any = None
    with (
        (out / f"{words[1]}.jsonl").open("w") as results,
        Progress(*columns, TextColumn("{task.fields[now]}"), console=console) as bar,
    ):
        task = bar.add_task(name, total=int(arguments.max_frames), now="")
        for record in follow(command, out / f"{words[1]}.log"):
            results.write(json.dumps(record) + "\n")
            summary = record.get("summary", summary)
            if "frame" in record:
                label = (record["top1"] or {}).get("label", "?")
                now = f"{1e3 * record['latency_s']:6.1f} ms  digit {label}"
                bar.update(task, advance=1, now=now)
    return summary


def conclude(summaries: dict[str, Any], plan: Any, everything: Any) -> None:
    """Print the comparison and the plan's choice."""
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
    if disagreement := disagreement_text(summaries, everything, best, fastest):
        console.print(disagreement)


def disagreement_text(
    summaries: dict[str, Any], everything: Any, best: Any, fastest: str
) -> str | None:
    """Say by how much the plan's choice was slower than the fastest; None: it was that, or was not run."""
    label = best["cut"] if best["cut"] == "edge" else f"{best['cut']}/{best['codec']}"
    chosen = next((name for name, s in summaries.items() if label in s["cuts"]), None)
    if chosen in (None, fastest):
        return None
    slower, faster = (summaries[name] for name in (chosen, fastest))
    measured_s = slower["latency_s"]["p50"] - faster["latency_s"]["p50"]
    planned_s = predicted_s(everything, faster) - predicted_s(everything, slower)
    if (
        planned_s <= 0
    ):  # a plan chooses the fastest of what keeps to the accuracy that was asked for
        return f"{fastest} is faster by the plan as well, but loses more accuracy than allowed."
    return (
        f"Here plan and measurement disagree: the choice took {1e3 * measured_s:.1f} ms more at the median, "
        f"and {1e3 * planned_s:.1f} ms less by the plan. On a core with a small share waking up may cost "
        "more than a plan counts."
    )


def predicted_s(plan: Any, summary: Any) -> float:
    """Return the seconds that the plan predicted for the one option that a run served frames with."""
    (label,) = summary["cuts"]
    found = next(
        option
        for option in plan["options"]
        if label in (option["cut"], f"{option['cut']}/{option['codec']}")
    )
    return float(found["total_s"])


if __name__ == "__main__":
    main()
