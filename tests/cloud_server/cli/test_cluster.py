"""What `splitpoint-cloud cluster` refuses before it asks a cluster."""

import sys

import pytest
from typer.testing import CliRunner

from cloud_server.cli.main import app


def said(*words: str) -> str:
    found = CliRunner().invoke(app, ["cluster", "--bundles", "b", *words])
    assert found.exit_code != 0
    return f"{found.output} {found.exception}"


def test_cluster_without_ray_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    for name in [name for name in sys.modules if name.startswith("cloud_server.cluster.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "cloud_server.cli.cluster_run", raising=False)
    assert "a cluster needs ray. Install it with: pip install 'splitpoint[ray]'" in said(
        "--insecure"
    )


def test_more_replicas_at_least_than_at_most_are_refused() -> None:
    assert "at most 1 and at least 2 replicas cannot be" in said("--min-replicas", "2")


def test_cluster_in_the_clear_has_to_be_asked_for() -> None:
    assert "without TLS, and ask nobody who he is" in said()
