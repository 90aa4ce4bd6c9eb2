"""What exits came to, for people and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from partitioner.bundle import Bundle
from partitioner.exits.outcomes import Outcomes, Standing
from partitioner.exits.stored import BundleExits
from partitioner.folding import FoldingTable
from partitioner.tables import new_table

THRESHOLDS = (0.5, 0.8, 0.9, 0.95, 0.99)
"""Shown beside each exit's own, if nobody asks for others."""


def standings(
    exits: BundleExits, outcomes: Mapping[str, Outcomes], thresholds: Sequence[float]
) -> list[tuple[str, Standing, bool]]:
    """Return cut, standing, and whether the threshold is the exit's own, in rising order."""
    found = []
    for cut, exit_ in exits.exits.items():
        own = exit_.meta.threshold
        shown = sorted({*thresholds, *(() if own is None else (own,))})
        found += [(cut, outcomes[cut].at(threshold), threshold == own) for threshold in shown]
    return found


def exits_json(
    bundle: Bundle,
    exits: BundleExits,
    outcomes: Mapping[str, Outcomes],
    thresholds: Sequence[float],
    data: str | None,
) -> dict[str, Any]:
    """Return everything about the exits; shares are of 1. `data` None: their own held-out inputs."""
    rows = standings(exits, outcomes, thresholds)
    return {
        "bundle": bundle.name,
        "bundle_digest": bundle.digest,
        "agreement_wanted": exits.meta.agreement,
        "trained_samples": exits.meta.trained_samples,
        "held_out_samples": exits.meta.held_out_samples,
        "data": data,
        "exits": [
            {
                **exit_.meta.model_dump(mode="json"),
                "size_bytes": len(exit_.graph),
                "thresholds": [
                    {**asdict(row), "own": own} for cut, row, own in rows if cut == exit_.meta.cut
                ],
            }
            for exit_ in exits.exits.values()
        ],
    }


def exits_table(
    bundle: Bundle,
    exits: BundleExits,
    outcomes: Mapping[str, Outcomes],
    thresholds: Sequence[float],
) -> FoldingTable:
    """Return one line an exit and threshold; a star marks the exit's own threshold."""
    title = f"{bundle.name}: exits, on {_samples(outcomes)} inputs that they were not trained on"
    columns = ("threshold", "exit", "agree", "accuracy", "whole model", "ECE")
    table = new_table(title, "cut", *columns, left=1)
    before = ""
    for cut, row, own in standings(exits, outcomes, thresholds):
        table.add_row(
            cut if cut != before else "",
            f"{row.threshold:.3f}{'*' if own else ' '}",
            _percent(row.exit_rate),
            _percent(row.agreement),
            _percent(row.accuracy),
            _percent(row.whole_accuracy),
            "" if row.ece is None else f"{row.ece:.3f}",
        )
        before = cut
    return table


def exits_text(exits: BundleExits, outcomes: Mapping[str, Outcomes]) -> str:
    """Say what the columns are of, and which exits never reach the wanted agreement."""
    meta = exits.meta
    text = (
        "exit: share of the inputs that are answered early. agree: of those, how many get the whole "
        "model's class. accuracy: of all inputs, where the whole model answers the others. "
        f"*: chosen for an agreement of {100 * meta.agreement:g} %."
    )
    if never := [cut for cut, found in exits.exits.items() if found.meta.threshold is None]:
        text += f" No threshold reaches that at {', '.join(never)}."
    if any(found.right is None for found in outcomes.values()):
        text += " Accuracy is not known without labels."
    return text


def _samples(outcomes: Mapping[str, Outcomes]) -> int:
    return max((len(found.confidence) for found in outcomes.values()), default=0)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
