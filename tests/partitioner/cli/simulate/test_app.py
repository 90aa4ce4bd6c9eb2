"""The commands below simulate together."""

from typer.testing import CliRunner

from partitioner.cli.main import app


def test_help_has_an_example() -> None:
    for command in ("sweep", "trace", "fleet"):
        done = CliRunner().invoke(app, ["simulate", command, "--help"])
        assert f"Example: splitpoint simulate {command}" in done.stdout
