"""What each process of a server is told: its share of what the machine has, and how it is told so."""

import json
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from cloud_server.options import ServerOptions
from partitioner.settings.log_options import LogOptions
from protos.errors import UsageError


def share_of(options: ServerOptions) -> ServerOptions:
    """Return the options of each process: what there is of the machine is divided, all else holds in each.

    Raises UsageError where the system does not spread the connections of one port over processes.
    """
    count = options.processes
    if count == 1:
        return options
    if sys.platform != "linux":
        raise UsageError(
            f"{count} processes cannot share a port on {sys.platform}: only Linux spreads connections over "
            "them. Leave `processes` at 1, or run several servers behind a balancer."
        )
    memory = options.memory_bytes
    return replace(
        options,
        workers=_share(options.workers, count),
        memory_bytes=None if memory is None else _share(memory, count),
        queue_memory_bytes=_share(options.queue_memory_bytes, count),
    )


def _share(whole: int, count: int) -> int:
    """Return one of `count` equal shares, rounded up, so that nobody is left without."""
    return -(-whole // count)


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a replica is told when it starts. `folder`: of the private sockets; `number`: 1 for the first.

    `use`: the descriptor of what devices take of all processes; None: devices have no names.
    """

    options: ServerOptions
    folder: Path
    number: int
    socket: str
    use: int | None
    logs: LogOptions

    def write(self) -> bytes:
        """Return it as one line of JSON."""
        document = {
            "options": {one.name: getattr(self.options, one.name) for one in _taken()},
            "folder": self.folder,
            "number": self.number,
            "socket": self.socket,
            "use": self.use,
            "logs": vars(self.logs),
        }
        return json.dumps(document, default=str).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> "Assignment":
        """Return what was written."""
        found: dict[str, Any] = json.loads(line)
        options: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in found["options"].items()
        }
        return cls(
            options=ServerOptions(**options),
            folder=Path(found["folder"]),
            number=found["number"],
            socket=found["socket"],
            use=found["use"],
            logs=LogOptions(**found["logs"]),
        )


def _taken() -> list[Any]:
    return [one for one in fields(ServerOptions) if one.init]
