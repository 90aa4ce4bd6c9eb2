"""Several bundles on one link, for people and as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.markup import escape

from partitioner.common.units import DURATIONS, ColumnUnit, format_duration, format_size
from partitioner.devices.device import Device
from partitioner.planning.guesses import guesses, ranking_survives
from partitioner.planning.option import Option
from partitioner.planning.plan import Plan
from partitioner.reports.bundle import format_gflop
from partitioner.reports.plans.guesses import guess_text
from partitioner.terminal.folding_table import FoldingTable, new_table


@dataclass(frozen=True)
class Compared:
    """A bundle by what tells it from the others, and its plan."""

    label: str
    plan: Plan

    @property
    def best(self) -> Option:
        """The option with the smallest latency."""
        return self.plan.best

    @property
    def whole_accuracy(self) -> float | None:
        """The share of labels that the whole model gets right; None: not measured.

        It is of the inputs of the best option's cut, where these were labelled, else of the most that were.
        """
        calibration = self.plan.bundle.calibration
        known = [one for one in calibration.meta.accuracies if one.labelled] if calibration else []
        own = [one for one in known if one.cut == self.best.cut]
        most = max(own or known, key=lambda one: one.labelled, default=None)
        return most.whole_right / most.labelled if most else None

    @property
    def accuracy(self) -> float | None:
        """The same with the best option, whose codec may lose some; None: not measured with labels."""
        if self.best.is_exact:
            return self.whole_accuracy
        measured = self.best.accuracy
        return measured.right / measured.labelled if measured and measured.labelled else None

    @property
    def input_text(self) -> str:
        """What a frame is."""
        return ", ".join(map(str, self.plan.bundle.inputs))


def comparison_json(found: Sequence[Compared], device: Device | None = None) -> dict[str, Any]:
    """Return what each bundle comes to, in the order of the command, and the fastest.

    `device`: that which the edges were scaled to.
    """
    link = found[0].plan.link
    return {
        "link": {
            "uplink_bps": link.uplink_bps,
            "downlink_bps": link.downlink_bps,
            "rtt_s": link.rtt_s,
        },
        "bundles": [_bundle_json(one) for one in found],
        "fastest": min(found, key=_total_s).label,
        "same_over_ranges": _survives(found, device),
    }


def _bundle_json(one: Compared) -> dict[str, Any]:
    bundle, best = one.plan.bundle, one.best
    return {
        "bundle": one.label,
        "path": str(bundle.path),
        "digest": bundle.digest,
        "inputs": [
            {"name": s.name, "dtype": s.dtype, "shape": list(s.shape)} for s in bundle.inputs
        ],
        "size_bytes": bundle.size_bytes,
        "parameters": bundle.manifest.parameters,
        "flops": bundle.manifest.flops,
        "accuracy": one.accuracy,
        "whole_accuracy": one.whole_accuracy,
        "edge_scale": one.plan.edge.scale,
        "cloud_scale": one.plan.cloud.scale,
        "best": {
            "cut": best.cut,
            "codec": best.codec,
            "total_s": best.total_s,
            "edge_s": best.edge_s,
            "network_s": best.network_s,
            "cloud_s": best.cloud_s,
            "upload_bytes": best.upload_bytes,
            "download_bytes": best.download_bytes,
        },
    }


def comparison_table(found: Sequence[Compared]) -> FoldingTable:
    """Return a line a bundle; the fastest is marked."""
    times = ColumnUnit.of(map(_total_s, found), DURATIONS)
    columns = (
        "input",
        "best option",
        times.header("latency"),
        "bytes a frame",
        "accuracy",
        "GFLOP",
        "size",
        "",
    )
    table = new_table(f"on {found[0].plan.link}", "bundle", *columns, left=3)
    fastest = min(found, key=_total_s)
    for one in found:
        bundle = one.plan.bundle
        table.add_row(
            escape(one.label),
            escape(one.input_text),
            one.best.label,
            times.write(one.best.total_s),
            format_size(one.best.upload_bytes + one.best.download_bytes),
            "" if one.accuracy is None else f"{100 * one.accuracy:.1f} %",
            format_gflop(bundle.manifest.flops),
            format_size(bundle.size_bytes),
            "◀" if one is fastest else "",
            style="bold green" if one is fastest else None,
        )
    return table


def comparison_text(found: Sequence[Compared], device: Device | None = None) -> str:
    """Say which bundle is the fastest, by how much, what that does to accuracy, and how sure it is.

    `device` is what the edges were scaled to, if they were.
    """
    first, second = sorted(found, key=_total_s)[:2]
    less = 100 * (1 - _total_s(first) / _total_s(second))
    lines = (
        f"{first.label} is the fastest: {format_duration(_total_s(first))} with {first.best.label}, "
        f"{less:.0f} % less than {second.label} ({format_duration(_total_s(second))} with "
        f"{second.best.label}). {_accuracy_text(first, second)}",
        _scaling_text(found, device),
    )
    return "\n".join(line for line in lines if line)


def _accuracy_text(first: Compared, second: Compared) -> str:
    if first.accuracy is None or second.accuracy is None:
        unknown = ", ".join(one.label for one in (first, second) if one.accuracy is None)
        return f"How often {unknown} is right is not known: calibrate with --labels."
    points = 100 * (first.accuracy - second.accuracy)
    how = (
        f"{abs(points):.1f} points {'more' if points > 0 else 'less'} often"
        if points
        else "as often"
    )
    return f"It is right {how}."


def _scaling_text(found: Sequence[Compared], device: Device | None) -> str:
    """Say which sides were scaled, and whether the ranking may turn; empty: both were measured."""
    first = min(found, key=_total_s)
    sides = guesses(first.plan, device)
    if not sides:
        return ""
    said = [guess_text(guess, device, first.plan) for guess in sides]
    said.append(
        "Over that range the ranking stays."
        if _survives(found, device)
        else "The difference is within the range of the scaling, so that the ranking may turn."
    )
    return " ".join(said)


def _survives(found: Sequence[Compared], device: Device | None) -> bool:
    """Tell whether the fastest is faster than each of the others over all of the ranges."""
    first, *others = sorted(found, key=_total_s)
    return all(ranking_survives(first.plan, other.plan, device) for other in others)


def _total_s(one: Compared) -> float:
    return one.best.total_s
