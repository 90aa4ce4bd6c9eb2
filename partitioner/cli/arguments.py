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

EdgeProfile = Annotated[
    Path | None, typer.Option("--edge", help="The edge's profile; else the bundle's own.")
]
CloudProfile = Annotated[
    Path | None, typer.Option("--cloud", help="The cloud's profile; else the bundle's own.")
]
EdgeScale = Annotated[
    float, typer.Option(help="What if the edge took this many times as long? Scaled, not measured.")
]
CloudScale = Annotated[
    float | None,
    typer.Option(help="The same for the cloud; without a cloud profile, of the edge's times."),
]
OnlyCodec = Annotated[str | None, typer.Option(help="Only options with this codec.")]
CsvFile = Annotated[Path | None, typer.Option("--csv", help="Write rows to FILE.csv.")]
