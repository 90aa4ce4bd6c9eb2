"""docs/rest.md names every metric that the server shows."""

from scripts.document_metrics import PAGE, page


def test_table_of_metrics_is_what_the_server_shows() -> None:
    text = PAGE.read_text()
    assert text == page(text), "run python -m scripts.document_metrics"
