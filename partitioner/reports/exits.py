"""What exits came to, for people and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.exit_outcomes import ExitStanding, Outcomes, fewest_for
from partitioner.bundle.exits import BundleExits
from partitioner.common.defaults import HELD_OUT_PART
from partitioner.common.units import plural
from partitioner.exits.ladder import levels_of
from partitioner.terminal.folding_table import FoldingTable, new_table


def standings(
    exits: BundleExits, outcomes: Mapping[str, Outcomes], thresholds: Sequence[float] | None
) -> list[tuple[str, ExitStanding, bool]]:
    """Return cut, standing, and whether the threshold is the exit's own, in rising order.

    `thresholds` None: the lowest for each of LEVELS, among which a limit may choose.
    """
    found = []
    for cut, exit_ in exits.by_cut.items():
        own = exit_.meta.threshold
        shown = thresholds
        if shown is None:
            shown = [threshold for _, threshold in levels_of(exit_)]
        asked = sorted({*shown, *(() if own is None else (own,))})
        found += [(cut, outcomes[cut].at(threshold), threshold == own) for threshold in asked]
    return found


def exits_json(
    bundle: Bundle,
    exits: BundleExits,
    outcomes: Mapping[str, Outcomes],
    thresholds: Sequence[float] | None,
    data: str | None,
) -> dict[str, Any]:
    """Return everything about the exits; shares are of 1. `data` None: their own held-out inputs."""
    rows = standings(exits, outcomes, thresholds)
    return {
        "bundle": bundle.name,
        "bundle_digest": bundle.digest,
        "agreement_wanted": exits.meta.agreement,
        "outdated": list(exits.outdated),
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
            for exit_ in exits.by_cut.values()
        ],
    }


def exits_table(
    bundle: Bundle,
    exits: BundleExits,
    outcomes: Mapping[str, Outcomes],
    thresholds: Sequence[float] | None,
) -> FoldingTable:
    """Return one line an exit and threshold; a star marks the exit's own threshold."""
    title = f"{bundle.name}: exits, on {plural(_samples(outcomes), 'input')} that they were not trained on"
    columns = ("threshold", "exit", "agree", "at least", "accuracy", "whole model", "ECE")
    table = new_table(title, "cut", *columns, left=1)
    before = ""
    for cut, row, own in standings(exits, outcomes, thresholds):
        table.add_row(
            cut if cut != before else "",
            f"{row.threshold:.3f}{'*' if own else ' '}",
            _percent(row.exit_rate),
            _percent(row.agreement),
            _percent(row.agreement_95),
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
        "model's class; at least: the lower end of its 95 % interval. accuracy: of all inputs, where the "
        f"whole model answers the others. *: chosen for an agreement of at least {100 * meta.agreement:g} %."
    )
    if never := [cut for cut, found in exits.by_cut.items() if found.meta.threshold is None]:
        text += f" No threshold reaches that at {', '.join(never)}, so no frame exits there"
        text += _too_few(meta.held_out_samples, meta.agreement)
    if any(found.right is None for found in outcomes.values()):
        text += " Accuracy is not known without labels."
    return text


def _too_few(held_out: int, agreement: float) -> str:
    """Say what would help an exit that has no threshold: other inputs, or to want less."""
    if held_out >= (fewest := fewest_for(agreement)):
        return ". Give more inputs, a later cut, or want less (--agreement)."
    return (
        f": that would take {fewest} held-out inputs even if all agreed, and there were {held_out}. Give "
        f"more (--held-out, or {HELD_OUT_PART * fewest} in --data), or want less (--agreement)."
    )


def _samples(outcomes: Mapping[str, Outcomes]) -> int:
    return max((len(found.confidence) for found in outcomes.values()), default=0)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
