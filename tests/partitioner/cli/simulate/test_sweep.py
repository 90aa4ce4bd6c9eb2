"""The command simulate sweep."""

import csv
from pathlib import Path

import pytest

from protos.errors import SplitpointError
from tests.kit.documents import Simulate, document


@pytest.mark.slow
def test_sweep_lists_every_point(simulate: Simulate, tmp_path: Path) -> None:
    grid = ("--bandwidth", "0.1mbit:100mbit:20", "--rtt", "5ms:200ms:4", "--edge-scale", "1:16:3")
    files = ("--csv", tmp_path / "p.csv", "--plot", tmp_path / "s.png")
    made = document(simulate("sweep", *grid, *files, "--json"))
    assert len(made["points"]) == 20 * 4 * 3
    assert {point["option"] for point in made["points"]} >= {"edge", "cloud/raw"}
    with (tmp_path / "p.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["option"] for row in rows] == [point["option"] for point in made["points"]]
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    table = simulate("sweep", *grid)
    assert "240 points" in table.stdout
    wrong = simulate("sweep", "--bandwidth", "fast", "--json")
    assert isinstance(wrong.exception, SplitpointError)
