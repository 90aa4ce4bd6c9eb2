"""Flags of how a command runs a model here."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from partitioner.cli.flags import choices
from partitioner.common.defaults import DEFAULT_PROVIDER, DEFAULT_THREADS
from partitioner.settings.panels import RUNTIME
from partitioner.terminal.flags import flag

if TYPE_CHECKING:
    from partitioner.runtime.sessions import RuntimeOptions


@dataclass(frozen=True)
class RuntimeFlags:
    """Threads and provider of ONNX Runtime."""

    threads: Annotated[int, flag("Intra-op threads of the runtime.", "N", panel=RUNTIME)] = (
        DEFAULT_THREADS
    )
    provider: Annotated[
        str,
        flag(
            "Execution provider of the runtime.",
            "PROVIDER",
            panel=RUNTIME,
            choices=choices.providers,
        ),
    ] = DEFAULT_PROVIDER

    def read(self) -> "RuntimeOptions":
        """Return the options of the runtime."""
        from partitioner.runtime.sessions import RuntimeOptions

        return RuntimeOptions(self.threads, self.provider)
