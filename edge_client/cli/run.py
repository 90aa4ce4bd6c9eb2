"""The command `splitpoint-edge run`: its flags."""

import typer

from edge_client.cli.choices import FRAME_CHOICES
from edge_client.cli.settings import PROGRAM, RunSettings
from partitioner.common.memory import keep_freed_pages
from partitioner.terminal import console
from partitioner.terminal.settings_flags import takes_settings


@takes_settings(PROGRAM, RunSettings, **FRAME_CHOICES)
def run(settings: RunSettings, json: console.JsonFlag = False) -> None:
    """Stream frames through the split model: heads here, tails in the cloud.

    Every setting may also come from the environment, as SPLITPOINT_EDGE_CLOUD and so on, or from --config;
    docs/settings.md lists them. With --json, each frame is a line on stdout, and the summary the last one.

    Ends with status 0 when every frame was served, 7 when some were not, such as those that missed their
    deadline, and 1 when none was.

    Example: splitpoint-edge run --cloud 10.0.0.2:50051 --bundle digits --source frames/
    """
    keep_freed_pages()
    from edge_client.cli.run_loop import run_source

    if status := run_source(settings, as_json=json):
        raise typer.Exit(status)
