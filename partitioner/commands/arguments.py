"""Arguments that several commands share, described once."""

from pathlib import Path
from typing import Annotated

import typer

BundleArgument = Annotated[Path, typer.Argument(help="The bundle's folder.", show_default=False)]
Threads = Annotated[int, typer.Option(help="Intra-op threads of the runtime.")]
Provider = Annotated[str, typer.Option(help="Execution provider of the runtime.")]
Budget = Annotated[
    str,
    typer.Option(
        help="Time for one side, as 30s; at least three runs of every head and tail take longer."
    ),
]
