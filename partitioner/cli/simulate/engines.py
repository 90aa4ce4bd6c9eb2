"""The flags of `simulate fleet` that ask for machines: of which kind, and behind which serving engines."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from partitioner.settings.panels import MACHINES
from partitioner.terminal.flags import flag
from protos.errors import UsageError

if TYPE_CHECKING:
    from partitioner.simulation.sizing.engine import ServingEngine
    from partitioner.simulation.sizing.load import MachineKind


def _names() -> list[str]:
    from partitioner.simulation.sizing.engines import ALL, engine_names

    return [ALL, *engine_names()]


_CORES = 16


@dataclass(frozen=True)
class EngineFlags:
    """The machines, and what serves the tails on them."""

    engine: Annotated[
        list[str] | None,
        flag(
            "Say the machines that keep --p99 behind this serving engine, and their bill; may be repeated. "
            "all: every one that is known.",
            "NAME",
            "--engine",
            panel=MACHINES,
            choices=_names,
        ),
    ] = None
    engines: Annotated[
        Path | None,
        flag(
            "Say it for the engines that this file tells of, too: a list of what requests were measured to "
            "cost.",
            "FILE.json",
            panel=MACHINES,
        ),
    ] = None
    machine_cores: Annotated[int, flag("Cores of a machine.", "N", panel=MACHINES, min=1)] = _CORES
    machine_memory: Annotated[
        str | None,
        flag("Memory of a machine, as 64GiB.", "SIZE", panel=MACHINES, default="not looked at"),
    ] = None
    price_machine_hour: Annotated[
        float | None, flag("Money for an hour of a machine, busy or not.", "PRICE", panel=MACHINES)
    ] = None
    spare: Annotated[
        int,
        flag("Machines that may be lost while --p99 is kept.", "N", panel=MACHINES, min=0),
    ] = 0
    processes: Annotated[
        int | None,
        flag(
            "Processes of the server on each machine.",
            "N",
            panel=MACHINES,
            min=1,
            default="as many as fill its cores",
        ),
    ] = None

    @property
    def are_asked_for(self) -> bool:
        """True where machines are to be found."""
        return bool(self.engine or self.engines)

    def check(self) -> None:
        """Raise UsageError for flags that say something of machines where none are to be found."""
        told = (self.machine_memory, self.price_machine_hour, self.processes)
        is_told = self.spare or self.machine_cores != _CORES or any(one is not None for one in told)
        if is_told and not self.are_asked_for:
            raise UsageError(
                "machines are found for serving engines. Give --engine all, --engine NAME or --engines FILE; "
                "or leave the flags about machines out."
            )

    def read(self) -> "list[ServingEngine]":
        """Return the engines. Raises UnknownNameError or FileError."""
        from partitioner.simulation.sizing.engines import engines_of

        return engines_of(self.engine or (), self.engines)

    def machine(self, price_gb: float | None) -> "MachineKind":
        """Return the machines that are to be had. Raises UsageError."""
        from partitioner.common.units import parse_size
        from partitioner.simulation.sizing.load import MachineKind

        memory = parse_size(self.machine_memory) if self.machine_memory else None
        return MachineKind(
            self.machine_cores,
            self.price_machine_hour,
            price_gb or 0.0,
            memory,
            self.spare,
            self.processes,
        )
