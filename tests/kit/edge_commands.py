"""The command of the edge, called within this process or started as one of its own."""

from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from edge_client.cli.main import app
from partitioner.bundle.bundle import Bundle


def run_edge(bundle: Bundle, source: Path, *more: object) -> Any:
    """Run `source` through `bundle` on the edge alone."""
    words = ["run", "--bundle", bundle.path, "--cut", "edge", "--source", source, *more]
    return CliRunner().invoke(app, [str(word) for word in words])
