"""Profiles as tables, and what is to be said of how they were measured."""

from partitioner.bundle.bundle import Bundle
from partitioner.common.units import SIZES, ColumnUnit, plural
from partitioner.profiles.profile import Profile, StageProfile
from partitioner.profiles.timing import WANTED_REPEATS
from partitioner.terminal.folding_table import FoldingTable, new_table

TAKE_UP = "put calibration.npz of this bundle into the server's copy, which it takes up by itself"

_BROKEN = 0.02
"""Medians of what is measured again agree no better than this."""


def profile_table(profile: Profile, role: str) -> FoldingTable:
    """Return the times and memory of every head and tail."""
    machine = profile.machine
    title = f"{role}: {machine.cpu}, {plural(machine.threads, 'thread')}, {machine.runtime}"
    side = ("p10 – p90\nms", "memory\nMB")
    heads = ("head\nms", *side, "tail\nms", *side)
    size = ColumnUnit.of((cut.frontier_bytes for cut in profile.cuts.values()), SIZES)
    table = new_table(title, "cut", *heads, size.header("frontier"), left=1)
    for name, cut in profile.cuts.items():
        cells = [*_stage_cells(cut.head), *_stage_cells(cut.tail)]
        table.add_row(name, *cells, size.write(cut.frontier_bytes))
    return table


def _stage_cells(stage: StageProfile | None) -> tuple[str, str, str]:
    if stage is None:
        return "–", "", ""
    timing = stage.timing
    spread = f"{1e3 * timing.p10_s:.2f} – {1e3 * timing.p90_s:.2f}"
    return f"{1e3 * stage.seconds:.2f}", spread, f"{stage.memory_bytes / 1e6:.0f}"


def noise_text(*sides: tuple[Profile, str]) -> str | None:
    """Say which of these profiles, each with its role, were measured on a busy machine, as far as that
    shows; None: it doesn't."""
    noisy = {role: profile.spread for profile, role in sides if profile.is_noisy}
    if not noisy:
        return None
    whose = " and ".join(f"the {role}'s" for role in noisy)
    shares = " and ".join(f"{100 * spread:.0f} %" for spread in noisy.values())
    return (
        f"{whose} times vary by {shares} from p10 to p90, as if something else had run there; "
        "measure again when it is idle, or longer (--budget)"
    )


def order_text(profile: Profile, role: str) -> str | None:
    """Say how far what was timed breaks the order of the cuts, and by which of them; None: it doesn't.

    The figure is of all repeats, as they came; what is planned with keeps to the order.
    """
    worst = max(profile.order_breaks, key=lambda found: found.share, default=None)
    if worst is None or worst.share < _BROKEN:
        return None
    return (
        f"the {role}'s repeats break the order of the cuts by up to {100 * worst.share:.0f} %: the "
        f"{worst.side} of {worst.smaller} took longer than that of {worst.larger}, in which it lies. The "
        "times shown are estimates that keep to the order, by the repeats that nothing slowed down"
    )


def rarity_text(profile: Profile, role: str, budget_s: float) -> str | None:
    """Say that stages were repeated too few times in `budget_s`, and what to give; None: they were not."""
    stages = [stage for cut in profile.cuts.values() for stage in (cut.head, cut.tail) if stage]
    least = min((stage.timing.repeats for stage in stages), default=WANTED_REPEATS)
    if least >= WANTED_REPEATS:
        return None
    return (
        f"{plural(least, 'repeat')} of some of the {role}'s stages, which is too few to tell slow spells "
        f"from slow stages: give --budget {2 * budget_s:.3g}s"
    )


def measurement_notes(profile: Profile, role: str, budget_s: float) -> list[str]:
    """Return what is to be said of how a profile was measured in `budget_s`."""
    rarity = rarity_text(profile, role, budget_s)
    texts = (rarity, noise_text((profile, role)), order_text(profile, role))
    return [f"Note: {text}." for text in texts if text]


def server_text(bundle: Bundle, cloud: Profile, address: str) -> str | None:
    """Say that the server at `address` measured with another calibration than `bundle` has, and what to
    do before it is measured again; None: it has the same, or both have none."""
    ours = bundle.calibration_digest
    if cloud.calibration_digest == ours:
        return None
    if not ours:
        return (
            f"the server at {address} has a calibration that this bundle lacks, so q2 to q6 are not "
            f"planned: put its calibration.npz into {bundle.path}, then profile again"
        )
    has = "another calibration than this bundle" if cloud.calibration_digest else "no calibration"
    return (
        f"the server at {address} has {has}, so a plan leaves q2 to q6 out: {TAKE_UP}, "
        "then profile again"
    )
