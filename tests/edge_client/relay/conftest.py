"""What the tests of the relay share."""

from pathlib import Path

import pytest


@pytest.fixture
def trace_file(tmp_path: Path) -> Path:
    """4 Mbit/s for 2 s, nothing for 1 s, 1 Mbit/s for 1 s (the median interval)."""
    path = tmp_path / "trace.txt"
    path.write_text("0 4\n1 4\n2 0\n3 1\n")
    return path
