"""Write the tables of metrics in docs/rest.md from what server and edges show, or with --check compare them.

python -m scripts.document_metrics
python -m scripts.document_metrics --check
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import Metric

from cloud_server.observability.call_book import CallBook
from cloud_server.observability.request_book import RequestBook
from cloud_server.observability.server_metrics import ServedFacts, ServerCollector
from cloud_server.observability.upkeep_metrics import UpkeepFacts
from protos.serving.answers import Job
from protos.serving.metrics import TelemetryCollector
from protos.wire.framing import encode_response

PAGE = Path(__file__).resolve().parent.parent / "docs" / "rest.md"

_NOTHING = ServedFacts(
    models={},
    bundles=(),
    tail_bytes={},
    pages={},
    greetings={},
    loads=0,
    failed_loads=0,
    load_s=0,
    evictions=0,
    ready=True,
    missing_replicas=0,
    replicas={},
    upkeep=UpkeepFacts(),
)


def families() -> dict[str, list[Metric]]:
    """Return what there is of metrics by who shows them: the server, and edges."""
    requests = RequestBook()
    requests.failed(
        Job(b"", encode_response), "INTERNAL"
    )  # what has no type tells labels by its samples
    server = ServerCollector(requests, CallBook(), lambda: _NOTHING)
    return {
        "metrics": list(server.collect()),
        "metrics of edges": list(TelemetryCollector(lambda: ()).collect()),
    }


def name_of(family: Metric) -> str:
    """Return the name as Prometheus shows it."""
    return f"{family.name}_total" if family.type == "counter" else family.name


def labels_of(family: Metric) -> tuple[str, ...]:
    """Return the labels of a family's series."""
    named = getattr(family, "_labelnames", None)
    return tuple(family.samples[0].labels if named is None else named)


def rows(shown: list[Metric]) -> Iterator[str]:
    """Yield the lines of a table: name, kind, labels, and meaning with its unit."""
    yield "| metric | kind | labels | meaning |"
    yield "|---|---|---|---|"
    for family in shown:
        kind = "counter" if family.type == "unknown" else family.type
        labels = ", ".join(labels_of(family))
        yield f"| `{name_of(family)}` | {kind} | {labels} | {family.documentation} |"


def page(text: str) -> str:
    """Return the page `text` with the tables of today."""
    for about, shown in families().items():
        begin, end = f"<!-- {about} -->\n", f"<!-- end of {about} -->\n"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}{chr(10).join(rows(shown))}\n{end}{after}"
    return text


def main() -> None:
    """Command line entry."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it is stale")
    found = PAGE.read_text()
    if not parser.parse_args().check:
        PAGE.write_text(page(found))
    elif found != page(found):
        sys.exit("docs/rest.md is stale; run python -m scripts.document_metrics")


if __name__ == "__main__":
    main()
