"""Bundles and what verifying them found, as tables and JSON."""

import math
from typing import Any

from rich.markup import escape

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.verification import CutCheck
from partitioner.common.units import SIZES, ColumnUnit, format_size
from partitioner.terminal.folding_table import FoldingTable, new_table


def bundle_json(bundle: Bundle) -> dict[str, Any]:
    """Return what identifies a bundle, and its cuts."""
    manifest = bundle.manifest
    return {
        "name": bundle.name,
        "digest": bundle.digest,
        "path": str(bundle.path),
        "size_bytes": bundle.size_bytes,
        "parameters": manifest.parameters,
        "flops": manifest.flops,
        "inputs": [_spec_json(spec) for spec in bundle.inputs],
        "outputs": [_spec_json(spec) for spec in bundle.outputs],
        "cuts": [
            {
                "id": cut.id,
                "after": cut.after,
                "frontier": [_spec_json(spec) for spec in cut.frontier],
                "frontier_bytes": sum(spec.nbytes() for spec in cut.frontier),
                "head_flops": cut.head_flops,
            }
            for cut in bundle.cuts.values()
        ],
    }


def format_parameters(count: int) -> str:
    """Return a model's size, as `25.56 M`; the number itself below a million."""
    return f"{count / 1e6:.2f} M" if count >= 1_000_000 else f"{count:,}"


def format_gflop(flops: int) -> str:
    """Return a model's work in GFLOP, with three digits where it is small."""
    gflop = flops / 1e9
    return f"{gflop:.2f}" if gflop >= 1 else f"{gflop:.3g}"


def bundle_table(bundle: Bundle) -> FoldingTable:
    """Return the cuts of a bundle."""
    manifest = bundle.manifest
    title = (
        f"{bundle.name}: {format_parameters(manifest.parameters)} parameters, "
        f"{format_gflop(manifest.flops)} GFLOP, {format_size(bundle.size_bytes)} on disk"
    )
    sizes = [sum(spec.nbytes() for spec in cut.frontier) for cut in bundle.cuts.values()]
    unit = ColumnUnit.of(sizes, SIZES)
    columns = ("cut", "after", "frontier", unit.header("size"), "depth\n%")
    table = new_table(title, *columns, left=3)
    for cut, size in zip(bundle.cuts.values(), sizes, strict=True):
        table.add_row(
            cut.id,
            escape(cut.after),
            escape("\n".join(str(spec) for spec in cut.frontier) or "nothing crosses"),
            unit.write(size),
            f"{100 * cut.head_flops / max(manifest.flops, 1):.0f}",
        )
    return table


def checks_json(checks: list[CutCheck]) -> dict[str, Any]:
    """Return the outcome of `verify`; a difference that is no number (another shape, NaN) is null."""

    def number(gap: float) -> float | None:
        return gap if math.isfinite(gap) else None

    return {
        "cuts": [
            {
                "cut": check.cut,
                "max_abs_diff": number(check.max_abs_diff),
                "ok": check.ok,
                "outputs": {name: number(gap) for name, gap in check.differences.items()},
                **({"failure": check.failure} if check.failure else {}),
            }
            for check in checks
        ],
        "ok": all(check.ok for check in checks),
    }


def checks_table(checks: list[CutCheck]) -> FoldingTable:
    """Return the worst difference of every cut and output."""
    title = "head + tail against the whole model, worst absolute difference by output"
    table = new_table(title, "cut", *map(escape, checks[0].differences), "", left=1)
    for check in checks:
        wrong = "fails" if check.failure else "differs"
        mark = "[green]ok[/]" if check.ok else f"[bold red]{wrong}[/]"
        gaps = (_gap(gap, failed=bool(check.failure)) for gap in check.differences.values())
        table.add_row(check.cut, *gaps, mark)
    return table


def _gap(gap: float, *, failed: bool) -> str:
    """Return a difference as people read it; shapes that differ, or NaN in one alone, have none."""
    if failed:
        return ""
    return f"{gap:.2g}" if math.isfinite(gap) else "no number"


def _spec_json(spec: Any) -> dict[str, Any]:
    found = {"name": spec.name, "dtype": spec.dtype, "shape": list(spec.oip_shape)}
    return found | ({"white": spec.white} if spec.white else {})
