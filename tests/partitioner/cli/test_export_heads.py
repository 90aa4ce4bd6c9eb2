"""The command export-heads."""

import json
from pathlib import Path

from typer.testing import CliRunner

from partitioner.bundle.bundle import Bundle
from partitioner.cli.main import app

runner = CliRunner()


def test_export_command_says_what_it_made(exiting: Bundle, tmp_path: Path) -> None:
    cut = exiting.manifest.cuts[0].id
    words = ["export-heads", str(exiting.path), "--cuts", cut, "--out", str(tmp_path / "held")]
    result = runner.invoke(app, [*words, "--json"])
    document = json.loads(result.stdout)
    assert document["digest"] == exiting.digest
    assert document["cuts"] == ["cloud", cut]
    assert document["exits"] == [cut] * (cut in exiting.known_exits().by_cut)
    assert document["size_bytes"] < document["whole_bytes"]
    assert runner.invoke(app, words).exit_code != 0  # it exists
    (tmp_path / "held" / "profiles").mkdir()
    (tmp_path / "held" / "profiles" / "edge.json").write_text("{}")
    again = runner.invoke(app, [*words, "--force"])
    assert again.exit_code == 0
    # The exits are copied again; what was measured on the device is not.
    assert "is gone with it: profiles/edge.json." in " ".join(again.stderr.split())
