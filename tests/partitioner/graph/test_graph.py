"""The graph on disk."""

from collections.abc import Callable
from pathlib import Path

import pytest

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.graph_file import parse_graph, save_graph
from partitioner.bundle.manifest import GRAPH_FILE
from protos.errors import BundleError


@pytest.mark.parametrize("name", ["two_towers", "transformer"])
def test_graph_survives_the_disk(
    name: str, bundles: Callable[[str], Bundle], tmp_path: Path
) -> None:
    graph = bundles(name).graph
    assert graph is not None
    save_graph(tmp_path, graph)
    assert parse_graph((tmp_path / GRAPH_FILE).read_bytes(), tmp_path) == graph
    assert set(graph.values) <= {*graph.inputs, *graph.producer}


def test_damaged_graph_is_refused(tmp_path: Path) -> None:
    path = tmp_path / GRAPH_FILE
    path.write_text('{"schema_version": 2}')
    with pytest.raises(BundleError, match="Import the bundle again"):
        parse_graph(path.read_bytes(), path)
