"""docs/settings.md is what the code declares, and its samples are files that the commands take."""

from pathlib import Path

from scripts.document_settings import PAGE, page
from tests.kit.settings import local_serve_settings, run_settings, serve_settings

DOCS = Path(__file__).parent.parent / "docs"


def test_page_of_settings_is_what_the_options_declare() -> None:
    assert PAGE.read_text() == page(), "run python -m scripts.document_settings"


def test_one_sample_is_taken_by_run_and_by_serve() -> None:
    run = run_settings(DOCS / "edge.toml")
    serve = local_serve_settings(DOCS / "edge.toml")
    assert run.client == serve.client
    assert (run.client.deadline_s, run.pace.fps, serve.limits.max_message_bytes) == (
        0.1, 10.0, 16 << 20,
    )  # fmt: skip


def test_sample_of_the_cloud_is_taken_by_serve() -> None:
    server = serve_settings(DOCS / "cloud.toml").server
    assert (server.preload, server.memory_bytes) == (("digits", "cut-04"), 2 << 30)
