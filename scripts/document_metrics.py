"""Write the table of metrics in docs/rest.md from what the server shows, or with --check compare them.

python -m scripts.document_metrics
python -m scripts.document_metrics --check
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from cloud_server.observability.call_book import CallBook
from cloud_server.observability.request_book import RequestBook
from cloud_server.observability.server_metrics import ServedFacts, ServerCollector
from cloud_server.observability.upkeep_metrics import UpkeepFacts

PAGE = Path(__file__).resolve().parent.parent / "docs" / "rest.md"
BEGIN, END = "<!-- metrics -->\n", "<!-- end of metrics -->\n"

_NOTHING = ServedFacts(
    models={},
    bundles=(),
    tail_bytes={},
    pages={},
    loads=0,
    failed_loads=0,
    load_s=0,
    evictions=0,
    ready=True,
    replicas={},
    upkeep=UpkeepFacts(),
)


def rows() -> Iterator[str]:
    """Yield the lines of the table: name, kind, and meaning with its unit."""
    yield "| metric | kind | meaning |"
    yield "|---|---|---|"
    for family in ServerCollector(RequestBook(), CallBook(), lambda: _NOTHING).collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        kind = "counter" if family.type == "unknown" else family.type
        yield f"| `{name}` | {kind} | {family.documentation} |"


def page(text: str) -> str:
    """Return the page `text` with the table of today."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join(rows())
    return f"{before}{BEGIN}{table}\n{END}{after}"


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
