"""The main job on real frames: cut a model, serve both halves, stream, and compare honestly.

    python examples/digits/demo.py --link 2mbit,5ms --slow 10

Three ways are really run, one after the other, on the same frames and the same link: everything in the
cloud with JPEG input, everything on the edge, and the plan's best split: cut and codec that lose no more
accuracy than allowed, as measured on other frames when the bundle was calibrated. The edge is a rehearsal
of a device that is so many times as slow as this machine. Device and link are chosen so that a split wins;
two other links follow, where it does not. Then the link falls and recovers, the cloud is killed and comes
back, and the edge moves its cut and loses no frame.
"""

import argparse
import json
import shutil
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from agreement import Circumstances, tell_agreement
from comparison import FRAMES, Run, Scene, compare, compare_shortly, link_text
from falling import Cloud, adapt
from neighbours import Neighbours
from processes import console, run_command, started

from splitpoint import Link

BUNDLE = Path(__file__).resolve().parent / "bundle"
CHOSEN_LINK, CHOSEN_SLOW = "2mbit,5ms", 10.0
"""Where a split wins clearly."""
OTHER_LINKS = {"fast": Link(50e6, 50e6, 0.02), "far": Link(0.5e6, 0.5e6, 0.06)}
"""Where JPEG wins, and where staying on the edge does."""


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--link", default=CHOSEN_LINK, help=f"UP[/DOWN],RTT ({CHOSEN_LINK})")
    parser.add_argument(
        "--slow", type=float, default=CHOSEN_SLOW,
        help=f"how many times as slow as this machine the edge is ({CHOSEN_SLOW:g})",
    )  # fmt: skip
    parser.add_argument(
        "--accuracy-drop", type=float, default=0.5, help="points that the split may lose (0.5)"
    )
    parser.add_argument("--fps", type=float, default=10, help="frames a second of the camera (10)")
    parser.add_argument("--max-frames", type=int, default=30, help="frames of each run (30)")
    parser.add_argument("--budget", default="6s", help="for profiling each side (6s)")
    parser.add_argument(
        "--phase", type=float, default=2.5, help="seconds of each phase of the falling link (2.5)"
    )
    parser.add_argument("--fresh", action="store_true", help="profile again, whatever is kept")
    parser.add_argument("--out", default="demo-output", help="folder for plots and results")
    arguments = parser.parse_args()
    try:
        demonstrate(arguments)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(map(str, error.cmd[2:5]))} … ended with status {error.returncode}")
    except KeyboardInterrupt:
        sys.exit("interrupted")


def demonstrate(arguments: argparse.Namespace) -> None:
    """Start the cloud; profile, plan, run the three ways, and let the link fall."""
    out, link = Path(arguments.out), Link.parse(arguments.link)
    out.mkdir(parents=True, exist_ok=True)
    for old in (*out.glob("*.log"), *out.glob("*.jsonl")):
        old.unlink()
    bundle = out / "digits"
    kept = take_bundle(bundle, fresh=arguments.fresh)
    serve = partial(started, out, "splitpoint-cloud", "serve", "--bundles", bundle, "--listen")
    with ExitStack() as stack:
        cloud = Cloud(serve, "127.0.0.1:0")
        stack.callback(cloud.kill)
        cloud.begin()
        introduce(arguments, link)
        beside_profiles = None if kept else measure(arguments, bundle, cloud.address)
        show_plan(arguments, link, bundle, out / "plan.png")
        scene = Scene(
            out, bundle, cloud.address, arguments.slow, arguments.fps, arguments.accuracy_drop
        )
        neighbours = Neighbours()
        runs = run_all(scene, link, arguments.max_frames)
        tell_agreement(runs, Circumstances(neighbours.cores(), beside_profiles))
        adapt(cloud, scene, rtt_s=link.rtt_s, phase_s=arguments.phase)
    console.print(f"Plot: {out / 'plan.png'}   Every frame: {out}/*.jsonl", soft_wrap=True)


def take_bundle(bundle: Path, *, fresh: bool) -> bool:
    """Copy the bundle, unless the copy of an earlier run is the same; True if that one has its profiles."""
    described = (BUNDLE / "bundle.json").read_bytes()
    same = bundle.exists() and (bundle / "bundle.json").read_bytes() == described
    if fresh or not same:
        shutil.rmtree(bundle, ignore_errors=True)
        shutil.copytree(BUNDLE, bundle, ignore=shutil.ignore_patterns("profiles"))
    profiles = [json.loads(path.read_text()) for path in (bundle / "profiles").glob("*.json")]
    if len(profiles) < 2:
        return False
    console.print(
        f"Uses the profiles measured at {min(profile['measured_at'] for profile in profiles)}. "
        f"To measure again: delete {bundle / 'profiles'}, or --fresh.\n",
        soft_wrap=True,
    )
    return True


def introduce(arguments: argparse.Namespace, link: Link) -> None:
    """Say what runs where, and that it was chosen."""
    console.print("[bold]Splitpoint[/]: one network, two machines. Digits in photographs, 320x320.")
    console.print("  cloud  this machine, at full speed")
    console.print(f"  link   {link_text(link)}, played by a relay")
    console.print(
        f"  edge   this machine, {arguments.slow:g} times as slow: it waits before it computes"
    )
    if (arguments.link, arguments.slow) == (CHOSEN_LINK, CHOSEN_SLOW):
        console.print(
            "Device and link are chosen so that a split wins; two links follow where none does."
        )
    console.print()


def measure(arguments: argparse.Namespace, bundle: Path, cloud: str) -> float:
    """Profile both sides at full speed, and keep that with the copy of the bundle, for the next time.

    Returns how many cores others kept busy meanwhile.
    """
    neighbours = Neighbours()
    with console.status("profiling every head here and every tail in the cloud"):
        budget = ("--budget", arguments.budget)
        run_command("splitpoint", "profile", bundle, "--cloud", cloud, *budget, "--data", FRAMES)
    return neighbours.cores()


def show_plan(arguments: argparse.Namespace, link: Link, bundle: Path, plot: Path) -> None:
    """Print the plan as the command prints it, and let it draw its plot."""
    rates = ("--bandwidth", f"{link.uplink_bps:.0f}bit", "--down", f"{link.downlink_bps:.0f}bit")
    terms = ("--edge-scale", arguments.slow, "--accuracy-drop", arguments.accuracy_drop)
    with console.status("planning"):
        printed = run_command(
            "splitpoint", "plan", bundle, *rates, "--rtt", f"{link.rtt_s}s", *terms, "--plot", plot
        )
    console.print(printed, markup=False, end="\n\n")


def run_all(scene: Scene, link: Link, frames: int) -> list[Run]:
    """Run the three ways on the link, and shortly on two others; return all runs."""
    runs = compare(scene, link, frames)
    here = next(run for run in runs if not run.way.option.upload_bytes)
    for where, other in OTHER_LINKS.items():
        runs += compare_shortly(scene, other, where, here)
    return runs


if __name__ == "__main__":
    main()
