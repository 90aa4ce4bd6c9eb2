"""Do plan and measurement agree? If not, where they are apart, and what the demo knows of why."""

from collections.abc import Sequence
from dataclasses import dataclass

from comparison import Run, link_text, ms
from neighbours import CORES
from processes import console

from partitioner.common.units import plural

AGREES = 0.1
"""So far may plan and measured median be apart."""
_QUIET = 0.15
"""Cores that others may keep busy without being named as a reason."""


@dataclass(frozen=True)
class Circumstances:
    """What may have made plan and measurement differ."""

    beside_runs: float
    """Cores that others kept busy while frames were run."""
    beside_profiles: float | None
    """The same while the profiles were measured; None: they are kept from an earlier run."""

    @property
    def reason(self) -> str:
        """Say why plan and measurement may be apart, as far as can be told."""
        profiles = self.beside_profiles or 0.0
        if max(self.beside_runs, profiles) > _QUIET:
            while_ = f", and {profiles:.1f} while the profiles were measured" if profiles else ""
            return f"Others kept {self.beside_runs:.1f} of {CORES} cores busy while these frames ran{while_}."
        if self.beside_profiles is None:
            return "The profiles are of an earlier run, and the machine's pace may have changed: --fresh."
        return (
            "Nothing else computed here: the machine's own pace has changed since it was profiled."
        )


def tell_agreement(runs: Sequence[Run], circumstances: Circumstances) -> None:
    """Say how far plan and measured medians are apart, and where and why if that is more than AGREES."""
    worst = max(runs, key=lambda run: abs(run.off))
    if abs(worst.off) <= AGREES:
        console.print(
            f"Plan and measured median are at most {100 * abs(worst.off):.0f} % apart in these "
            f"{plural(len(runs), 'run')}."
        )
        return
    count = sum(abs(run.off) > AGREES for run in runs)
    part, planned_s, measured_s = worst.worst_part
    console.print(
        f"{count} of {plural(len(runs), 'median')} are more than {100 * AGREES:.0f} % from the plan, at "
        f"worst {worst.way.name} on {link_text(worst.link)}: {ms(worst.median_s)} for {ms(worst.planned_s)} "
        f"ms, most of it {part} ({ms(measured_s)} for {ms(planned_s)}). {circumstances.reason}",
        soft_wrap=True,
    )
