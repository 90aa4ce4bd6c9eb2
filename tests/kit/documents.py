"""What commands print as JSON."""

import json
from collections.abc import Callable
from typing import Any

from typer.testing import Result

Simulate = Callable[..., Result]


def document(done: Result) -> Any:
    """One JSON document and nothing else on stdout."""
    assert done.exception is None, done.exception
    return json.loads(done.stdout)
