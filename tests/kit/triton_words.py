"""Triton's own messages, to read what was written for it."""

from pathlib import Path
from typing import Any

import pytest


def read_config(path: Path) -> Any:
    """Return the config.pbtxt of a model as Triton's own message; skips where its client is missing."""
    words = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    from google.protobuf import text_format

    return text_format.Parse((path / "config.pbtxt").read_text(), words.ModelConfig())


def folders(repository: Path) -> list[str]:
    """Return the names of the models in a repository."""
    return sorted(path.name for path in repository.iterdir() if path.is_dir())
