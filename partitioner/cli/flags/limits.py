"""Flags of what an option must keep to."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from partitioner.settings.panels import CHOICE
from partitioner.terminal.flags import flag

if TYPE_CHECKING:
    from partitioner.planning.constraints import Constraint


@dataclass(frozen=True)
class LimitFlags:
    """Limits on an option: memory, energy, latency, and what privacy asks."""

    max_edge_memory: Annotated[
        str | None, flag("For the head on the device, as 200MB.", "SIZE", panel=CHOICE)
    ] = None
    max_energy: Annotated[
        str | None, flag("A frame, as 0.5J or 200mJ.", "ENERGY", panel=CHOICE)
    ] = None
    deadline: Annotated[str | None, flag("A frame's latency, as 100ms.", "TIME", panel=CHOICE)] = (
        None
    )
    min_depth: Annotated[
        float | None,
        flag("Share of the FLOPs on the device, as 0.3.", "SHARE", panel=CHOICE),
    ] = None
    keep_input_local: Annotated[
        bool,
        flag("The model's input stays here.", None, "--keep-input-local", panel=CHOICE),
    ] = False

    def read(self) -> "list[Constraint]":
        """Return the limits that are given. Raises UsageError."""
        from partitioner.common.units import parse_duration, parse_energy, parse_size
        from partitioner.planning import constraints

        found = []
        if self.max_edge_memory is not None:
            found.append(constraints.max_edge_memory(parse_size(self.max_edge_memory)))
        if self.max_energy is not None:
            found.append(constraints.max_energy(parse_energy(self.max_energy)))
        if self.deadline is not None:
            found.append(constraints.deadline(parse_duration(self.deadline)))
        if self.min_depth is not None:
            found.append(constraints.min_depth(self.min_depth))
        if self.keep_input_local:
            found.append(constraints.keep_input_local())
        return found
