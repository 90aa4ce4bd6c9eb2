"""Build both images, run docker-compose.yml, and hold what its edges record against what was promised.

    make containers          with docker, or with podman and podman-compose where no docker daemon runs

Asserted: images are as small as they are said to be; an edge starts without its cloud, and ends well by
SIGTERM; the cut moves when the link falls to 1 Mbit/s, and back when it recovers; no frame is lost while the
cloud is killed, started, replaced by another container, and upgraded to another version of the bundle.
Everything is taken down at the end. When something is not so, the exit status is 1, and the last lines are
the reason.

From the environment: ENGINE (docker or podman), COMPOSE (its command), BASE (another base image), BUILD_ARGS
(more words for every build), and PROFILES (fleet, observability, or both: these are run and watched as well).
"""

import os
import shlex
import shutil
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from container_profiles import watch_fleet, watch_prometheus
from container_records import WINDOW, by, depth, health, rate, settled
from container_stack import ROOT, Engine, Log, Record, Stack, UnmetError, expect, tell, wait_for

TAGS = {"image": "splitpoint-base", "edge": "splitpoint-edge", "cloud": "splitpoint-cloud"}
"""Targets of the Dockerfile, and what they are called here; `image` is the base without its installers."""
MOST_MB = {"edge": 170, "cloud": 220}
"""What an image may add to its base, in MB (10^6 bytes)."""
FALLS = 5
"""Periods of the link in one of which the cut has to follow it; a busy machine may miss some."""


def main() -> None:
    """Command line entry."""
    try:
        engine = Engine.found()
        build(engine)
        time_first_frame(engine)
        with tempfile.TemporaryDirectory(prefix="splitpoint-") as folder:
            run_stack(Stack(engine, Path(folder)))
    except UnmetError as reason:
        sys.exit(f"NOT SO: {reason}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
    tell("everything was as promised")


def run_stack(stack: Stack) -> None:
    """Go through all that is promised, one after the other, and take everything down."""
    try:
        start_without_cloud(stack)
        demo = start_demo(stack)
        see_cut_move(stack, demo)
        kill_cloud(stack, demo)
        replace_cloud(stack, demo)
        upgrade_cloud(stack, demo)
        count_frames(stack, demo)
        profiles = os.environ.get("PROFILES", "").split()
        if "fleet" in profiles:
            watch_fleet(stack)
        if "observability" in profiles:
            watch_prometheus(stack)
    except BaseException:
        stack.tell_logs()
        raise
    finally:
        stack.down()


def build(engine: Engine) -> None:
    """Build both images, and compare what they add to their base with what they may."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    words = [
        "--build-arg",
        f"VERSION={project['version']}",
        *shlex.split(os.environ.get("BUILD_ARGS", "")),
    ]
    if "BASE" in os.environ:
        words += ["--build-arg", f"BASE={os.environ['BASE']}"]
    size_mb = {}
    for target, tag in TAGS.items():
        build = (*engine.build, "--file", "docker/Dockerfile", "--target", target, "--tag", tag)
        engine.run(*build, *words, ".")
        size_mb[target] = int(engine.run("image", "inspect", "--format", "{{.Size}}", tag)) / 1e6
    for side, most_mb in MOST_MB.items():
        added_mb = size_mb[side] - size_mb["image"]
        said = f"the image of the {side} adds {added_mb:.0f} MB to its base of {size_mb['image']:.0f} MB"
        expect(added_mb <= most_mb, f"{said}, and may add {most_mb}")
        tell(said)


def time_first_frame(engine: Engine) -> None:
    """Time an edge that computes one frame by itself, from `run` on."""
    data, begun = ROOT / "examples" / "digits", time.monotonic()
    said = engine.run(
        "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--volume", f"{data}:/data:ro",
        "splitpoint-edge", "run", "--bundle", "/data/bundle", "--source", "/data/frames", "--cut", "edge",
        "--max-frames", "1", "--json",
    )  # fmt: skip
    expect('"served_by": "edge"' in said, f"the first frame came so: {said}")
    tell(
        f"an edge has computed a frame and ended {time.monotonic() - begun:.1f} s after `{engine.name} run`"
    )


def start_without_cloud(stack: Stack) -> None:
    """Start an edge alone, see it serve, give it its cloud, and end it by SIGTERM."""
    edge = stack.start("edge")
    wait_for(lambda: len(edge.records) >= WINDOW, "the edge serves frames while there is no cloud")
    reason = edge.records[-1]["reason"]
    expect(
        by(edge.records) == {"edge"}, f"frames without a cloud were served by {by(edge.records)}"
    )
    tell(f"an edge whose cloud is not there serves frames; they say why: {reason}")
    stack.start("cloud")
    stack.wait_healthy("cloud")
    wait_for(lambda: health(edge) in ("degraded", "healthy"), "the edge takes note of its cloud")
    tell("once it is there the edge says so")
    metrics = {"cloud": f"{stack.rest}/metrics", "edge": f"{stack.metrics}/metrics"}
    for side, name in {"cloud": "splitpoint_ready", "edge": "splitpoint_edge_frames_total"}.items():
        expect(name in stack.get(metrics[side]), f"the metrics of the {side} have no {name}")
    tell("REST and metrics answer at the ports that are published")
    stop(stack, edge)


def start_demo(stack: Stack) -> Log:
    """Start the link that falls and recovers, and the edge behind it."""
    begun = time.monotonic()
    stack.start("link")
    demo = stack.start("demo")
    wait_for(lambda: "cloud" in by(demo.records), "a frame of the demo is served by the cloud")
    tell(
        f"behind the link the cloud serves a frame after {time.monotonic() - begun:.1f} s, measuring included"
    )
    stack.wait_healthy("demo")
    return demo


def see_cut_move(stack: Stack, demo: Log) -> None:
    """Wait until the cut has gone down with the link, and up again with it."""
    link = stack.logs["link"]
    for _ in range(FALLS):
        wait_for_rate(link, "20.0")
        wait_for_rate(link, "1.00")
        good = settled(demo.records)
        low = follow_link(link, demo, "1.00", good, deeper=True)
        if low is None:
            continue
        tell(f"at 20 Mbit/s the cut was {good}; at 1 Mbit/s it has moved down to {low}")
        wait_for_rate(link, "20.0")
        high = follow_link(link, demo, "20.0", low, deeper=False)
        if high is not None:
            tell(f"at 20 Mbit/s again it has moved back up to {high}")
            return
    now = settled(demo.records)
    raise UnmetError(
        f"in {FALLS} falls of the link the cut has not moved down and back; it is {now}"
    )


def kill_cloud(stack: Stack, demo: Log) -> None:
    """Kill the cloud, see the edge go on, and start the same container again."""
    cloud, seen = stack.logs["cloud"].container, len(demo.records)
    stack.engine.run("kill", cloud)
    wait_for(
        lambda: len(demo.records) > seen + 2 * WINDOW,
        "the edge serves frames while the cloud is killed",
    )
    expect(
        by(demo.records[-WINDOW:]) == {"edge"},
        f"a killed cloud serves: {by(demo.records[-WINDOW:])}",
    )
    tell(f"the cloud is killed, and the edge goes on; its frames say: {demo.records[-1]['reason']}")
    stack.engine.run("start", cloud)
    wait_for_return(stack, demo, "started again")


def replace_cloud(stack: Stack, demo: Log) -> None:
    """Put another container in the place of the cloud's: it has another address."""
    before = stack.address("cloud")
    stack.engine.run("rm", "--force", stack.logs["cloud"].container)
    stack.start("cloud")
    wait_for_return(
        stack, demo, f"another container, at {stack.address('cloud')} instead of {before}"
    )


def upgrade_cloud(stack: Stack, demo: Log) -> None:
    """Lay another version beside the one that is served, roll it out, and take the old one away."""
    old, served = demo.records[-1]["version_digest"], stack.versions()
    lay_other_version(stack.bundles)
    new = wait_for(
        lambda: stack.versions() - served, "the cloud serves the other version, too", pause_s=1
    )
    cloud = stack.logs["cloud"].container
    rollout = ("splitpoint-cloud", "rollout", "start", "digits", *new, "--share", "100%")
    stack.engine.run("exec", cloud, *rollout, "--cloud", "localhost:50051")
    wait_for(lambda: demo.records[-1]["version_digest"] != old, "the edge runs the new version")
    now = demo.records[-1]["version_digest"]
    tell(f"another version is rolled out, and the edge has gone from {old} to {now}")
    shutil.rmtree(stack.bundles / "digits-1")
    wait_for(lambda: stack.versions() == new, "the cloud lets the old version go", pause_s=1)
    stack.engine.run("restart", "-t", "15", cloud)
    wait_for_return(stack, demo, "restarted with the new version alone")


def count_frames(stack: Stack, demo: Log) -> None:
    """End the edge, and hold its records against its own count."""
    summary = stop(stack, demo)
    numbers = [record["frame"] for record in demo.records]
    expect(numbers == list(range(len(numbers))), "the records are not in order, or not all there")
    expect(
        summary["frames"] == len(numbers),
        f"the summary has {summary['frames']} frames, and {len(numbers)} came",
    )
    expect("none" not in by(demo.records), "a frame was served by none")
    tell(
        f"{len(numbers)} frames, as many results, in order and none lost; served by {summary['served_by']}"
    )


def stop(stack: Stack, edge: Log) -> Record:
    """Tell an edge to stop, and return its summary."""
    stack.engine.run("stop", "-t", "15", edge.container)
    status = stack.engine.run("inspect", "--format", "{{.State.ExitCode}}", edge.container)
    summary = wait_for(lambda: edge.summary, "an edge that is told to stop says its summary")
    lost = summary["failed"] + summary["dropped"] + summary["unreadable"]
    expect(status == "130", f"told to stop, the edge ended with status {status} instead of 130")
    expect(lost == 0, f"{lost} frames were lost: {summary}")
    frames = summary["frames"]
    tell(
        f"told to stop, the edge ends with status {status} and its summary: {frames} frames, none lost"
    )
    return summary


def lay_other_version(bundles: Path) -> None:
    """Copy the bundle without its exits, which makes another version of it, and let it appear as a whole."""
    unfinished = bundles / ".digits-2"
    shutil.copytree(bundles / "digits-1", unfinished, ignore=shutil.ignore_patterns("exits.npz"))
    unfinished.rename(bundles / "digits-2")


def wait_for_return(stack: Stack, demo: Log, how: str) -> None:
    """Wait until the cloud is healthy, the edge says so, and a frame is served there again."""
    stack.wait_healthy("cloud")
    healthy, seen = time.monotonic(), len(demo.records)
    wait_for(lambda: health(demo) in ("degraded", "healthy"), f"the edge knows of the cloud, {how}")
    known_s = time.monotonic() - healthy
    wait_for(lambda: "cloud" in by(demo.records[seen:]), f"the cloud serves again, {how}")
    used_s = time.monotonic() - healthy
    tell(
        f"the cloud is healthy, {how}; known to the edge {known_s:.1f} s later, used {used_s:.1f} s later"
    )


def wait_for_rate(link: Log, mbit: str) -> None:
    """Wait until the link begins to have an uplink, as it says itself."""
    wait_for(lambda: rate(link) == mbit, f"the link has {mbit} Mbit/s")


def follow_link(link: Log, demo: Log, mbit: str, before: str, *, deeper: bool) -> str | None:
    """Return the cut that has followed the link to a rate; None if the link has gone on before."""

    def has_followed() -> bool:
        now, then = depth(settled(demo.records)), depth(before)
        return now > then if deeper else now < then

    wait_for(lambda: rate(link) != mbit or has_followed(), "the link goes on", pause_s=0.05)
    return settled(demo.records) if rate(link) == mbit and has_followed() else None


if __name__ == "__main__":
    main()
