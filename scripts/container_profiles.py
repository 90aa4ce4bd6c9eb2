"""The profiles of docker-compose.yml that `make containers` runs if asked to: a fleet, and Prometheus."""

import json
from functools import partial
from typing import Any

from container_records import by, settled
from container_stack import Log, Stack, expect, tell, wait_for

FLEET_FRAMES = 150
"""What each edge of the fleet has to serve: a quarter of a minute of them."""


def watch_fleet(stack: Stack) -> None:
    """Start three edges on three links, and see each serve its frames with a cut of its own."""
    edges = {}
    for number in (1, 2, 3):
        stack.start(f"link-{number}")
        edges[f"edge-{number}"] = stack.start(f"edge-{number}")
    for name, edge in edges.items():
        wait_for(partial(has_served, edge), f"{name} serves frames", patience_s=300)
        expect("none" not in by(edge.records), f"a frame of {name} was served by none")
    cuts = [f"{name} at {settled(edge.records)}" for name, edge in edges.items()]
    tell(f"three edges on three links cut where it suits them: {', '.join(cuts)}")


def has_served(edge: Log) -> bool:
    """Tell whether an edge has served enough, and the cloud some of it."""
    return len(edge.records) >= FLEET_FRAMES and bool(by(edge.records) - {"edge"})


def watch_prometheus(stack: Stack) -> None:
    """Start Prometheus, see that it reaches both sides, and that it can evaluate every rule."""
    stack.start("edge")
    stack.start("prometheus")
    sides = {"splitpoint-cloud", "splitpoint-edge"}
    wait_for(lambda: sides <= reached(stack), "Prometheus reaches cloud and edge", pause_s=1)
    wait_for(lambda: set(rules(stack).values()) == {"ok"}, "all rules are evaluated", pause_s=1)
    tell(
        f"Prometheus reaches {' and '.join(sorted(sides))}, and evaluates {len(rules(stack))} rules"
    )


def reached(stack: Stack) -> set[str]:
    """Return the jobs of which Prometheus reaches a target."""
    targets = ask(stack, "targets").get("activeTargets", ())
    return {target["labels"]["job"] for target in targets if target["health"] == "up"}


def rules(stack: Stack) -> dict[str, str]:
    """Return the health of every rule by its name."""
    groups = ask(stack, "rules").get("groups", ())
    return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}


def ask(stack: Stack, what: str) -> dict[str, Any]:
    """Return what Prometheus tells of something; nothing while it does not answer."""
    try:
        return dict(json.loads(stack.get(f"{stack.prometheus}/api/v1/{what}"))["data"])
    except OSError:
        return {}
