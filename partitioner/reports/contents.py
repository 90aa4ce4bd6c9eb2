"""What is in a bundle, and what was found out about it, for people and as JSON."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Column, Table

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import BundleCalibration
from partitioner.bundle.exits import BundleExits
from partitioner.common.units import format_size, plural
from partitioner.profiles.store import KeptProfile
from partitioner.reports.accuracy import cuts_by_basis, each_cuts_text
from partitioner.reports.bundle import bundle_json, format_parameters
from partitioner.terminal.folding_table import FoldingTable, new_table

_SIDES = ("edge", "cloud")


def contents_json(bundle: Bundle, profiles: Sequence[KeptProfile]) -> dict[str, Any]:
    """Return everything that is known of a bundle; sizes in bytes, shares of 1."""
    manifest = bundle.manifest
    return {
        **bundle_json(bundle),
        "macs": manifest.flops // 2,
        "source": manifest.source,
        "created_by": manifest.created_by,
        "labels": list(manifest.labels),
        "preprocess": manifest.preprocess.model_dump(mode="json") if manifest.preprocess else None,
        "heads_only": bundle.heads_only,
        "disk_bytes": disk_bytes(bundle),
        "profiles": [_profile_json(found) for found in profiles],
        "calibration": _calibration_json(bundle, bundle.calibration)
        if bundle.calibration
        else None,
        "exits": _exits_json(bundle.exits) if bundle.exits else None,
    }


def disk_bytes(bundle: Bundle) -> int:
    """Return what the bundle takes on the disk, with calibration, exits and profiles."""
    beside = len(bundle.calibration.file) if bundle.calibration else 0
    beside += len(bundle.exits.file) if bundle.exits else 0
    profiles = sum(path.stat().st_size for path in bundle.profiles.glob("*.json"))
    return bundle.size_bytes + beside + profiles


def contents_table(bundle: Bundle, profiles: Sequence[KeptProfile], signature: str) -> Table:
    """Return the facts of a bundle, a line each; the cuts have a table of their own."""
    table = Table.grid(Column(no_wrap=True), Column(overflow="fold"), padding=(0, 2))
    facts = (*_model_facts(bundle), ("signed", signature), *_found_facts(bundle, profiles))
    for word, text in facts:
        table.add_row(f"[bold]{word}[/]", escape(text))
    return table


def _model_facts(bundle: Bundle) -> Iterator[tuple[str, str]]:
    manifest = bundle.manifest
    yield "bundle", f"{bundle.name} in {bundle.path}, digest {bundle.digest[:12]}…"
    yield "made", f"from {manifest.source} by {manifest.created_by}"
    yield "input", ", ".join(f"{spec.name} {spec}" for spec in bundle.inputs)
    for spec in bundle.inputs:
        if spec.white:
            yield "white", f"{spec.white:,} in images of more than 8 bits"
    yield "output", ", ".join(f"{spec.name} {spec}" for spec in bundle.outputs)
    if manifest.labels:
        yield "labels", f"{len(manifest.labels)}: {_few(manifest.labels)}"
    flops = manifest.flops
    yield (
        "work",
        f"{format_parameters(manifest.parameters)} parameters, {flops / 2e9:.3f} GMAC "
        f"({flops / 1e9:.3f} GFLOP) a sample",
    )
    held = f"heads of {', '.join(bundle.held.cuts)} only, " if bundle.held else ""
    sizes = f"{format_size(disk_bytes(bundle))}, {format_size(bundle.size_bytes)} of it the model"
    yield "on disk", f"{held}{sizes}"


def _found_facts(bundle: Bundle, profiles: Sequence[KeptProfile]) -> Iterator[tuple[str, str]]:
    for side in _SIDES:
        if side not in {found.name for found in profiles}:
            more = " --cloud HOST:PORT" * (side == "cloud")
            yield side, f"not profiled; splitpoint profile {bundle.path}{more}"
    for found in profiles:
        yield found.name, _profile_text(found)
    if bundle.calibration:
        yield "calibrated", _calibration_text(bundle, bundle.calibration)
    else:
        yield "calibrated", f"no; splitpoint calibrate {bundle.path} --data DIR"
    if bundle.exits:
        known = bundle.exits.meta
        yield (
            "exits",
            f"{len(known.exits)}, trained {_day(known.made_at)} on {plural(known.trained_samples, 'input')} "
            f"for an agreement of {100 * known.agreement:g} %",
        )
    else:
        yield "exits", f"none; splitpoint exits train {bundle.path} --data DIR"


def trained_table(exits: BundleExits) -> FoldingTable:
    """Return the exits with their own thresholds, and what they did on held-out inputs.

    Columns of the same name are those of `splitpoint exits report`; `agree of all` is of an exit that
    answers whatever comes, as where the cloud is away.
    """
    title = (
        f"exits, on {plural(exits.meta.held_out_samples, 'input')} that they were not trained on"
    )
    table = new_table(title, "cut", "threshold", "exit", "agree", "agree of all", left=1)
    for cut, found in exits.by_cut.items():
        own = found.meta.threshold
        table.add_row(
            cut,
            "never sure" if own is None else f"{own:.3f}",
            f"{100 * found.cost().rate:.1f} %",
            "" if found.agreement is None else f"{100 * found.agreement:.1f} %",
            f"{100 * found.agreement_of_all:.1f} %",
        )
    return table


def _profile_text(found: KeptProfile) -> str:
    if found.profile is None:
        return found.wrong
    machine = found.profile.machine
    runs = f"{machine.runtime}, {machine.provider}, {machine.threads} thread(s)"
    with_ = f" with {machine.accelerator}" if machine.accelerator else ""
    held = ", heads only" if found.profile.heads_only else ""
    wrong = f"; {found.wrong}" if found.wrong else ""
    return (
        f"profiled {_day(found.profile.measured_at)} on {machine.hostname}: {machine.cpu}{with_}, {runs}"
        f"{held}{wrong}"
    )


def _profile_json(found: KeptProfile) -> dict[str, Any]:
    profile = found.profile
    return {
        "name": found.name,
        "machine": profile.machine.model_dump() if profile else None,
        "measured_at": profile.measured_at if profile else None,
        "heads_only": profile.heads_only if profile else None,
        "stale": found.wrong or None,
    }


def _calibration_text(bundle: Bundle, found: BundleCalibration) -> str:
    """Say when, and on which inputs ranges and losses rest; where cuts differ in them, at which."""
    alike = cuts_by_basis(bundle, found).items()
    if not alike:
        return f"{_day(found.meta.made_at)}, no codec but raw suits what crosses"
    texts = ((f"{basis.inputs_text}, of {basis.measure}", cuts) for basis, cuts in alike)
    return f"{_day(found.meta.made_at)}, {each_cuts_text(texts)}"


def _calibration_json(bundle: Bundle, found: BundleCalibration) -> dict[str, Any]:
    meta = found.meta
    return {
        "made_at": meta.made_at,
        "measured": [basis.to_dict(cuts) for basis, cuts in cuts_by_basis(bundle, found).items()],
        "codecs": sorted({one.codec for one in meta.accuracies}),
        "digest": meta.digest,
        "size_bytes": len(found.file),
    }


def _exits_json(exits: BundleExits) -> dict[str, Any]:
    return {
        "made_at": exits.meta.made_at,
        "agreement_wanted": exits.meta.agreement,
        "trained_samples": exits.meta.trained_samples,
        "held_out_samples": exits.meta.held_out_samples,
        "exits": [
            {
                "cut": cut,
                "threshold": found.meta.threshold,
                "exit_rate": found.cost().rate,
                "agreement": found.agreement,
                "agreement_of_all": found.agreement_of_all,
            }
            for cut, found in exits.by_cut.items()
        ],
    }


def _few(words: Sequence[str], most: int = 5) -> str:
    return ", ".join(words[:most]) + (" …" if len(words) > most else "")


def _day(moment: str) -> str:
    """Return an ISO 8601 moment to the minute."""
    return f"{moment[:16].replace('T', ' ')} UTC"
