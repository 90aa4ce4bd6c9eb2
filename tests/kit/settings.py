"""Settings of the commands, from flags as a test gives them."""

from pathlib import Path
from typing import Any

from cloud_server.cli.settings import PROGRAM as CLOUD
from cloud_server.cli.settings import ServeSettings
from edge_client.cli.settings import PROGRAM as EDGE
from edge_client.cli.settings import LocalServeSettings, RunSettings
from partitioner.settings.loader import load


def run_settings(config: Path | None = None, **given: Any) -> RunSettings:
    """Return those of `splitpoint-edge run`."""
    return load(EDGE, RunSettings, given, config).settings


def local_serve_settings(config: Path | None = None, **given: Any) -> LocalServeSettings:
    """Return those of `splitpoint-edge serve`."""
    return load(EDGE, LocalServeSettings, given, config).settings


def serve_settings(config: Path | None = None, **given: Any) -> ServeSettings:
    """Return those of `splitpoint-cloud serve`."""
    return load(CLOUD, ServeSettings, given, config).settings
