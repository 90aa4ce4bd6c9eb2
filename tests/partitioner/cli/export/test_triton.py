"""The command export triton."""

import json
from pathlib import Path

from typer.testing import CliRunner

from partitioner.bundle.bundle import Bundle
from partitioner.cli.main import app

runner = CliRunner()


def test_export_says_what_it_made_and_what_to_do_next(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    out = tmp_path / "models"
    words = ["export", "triton", str(residual_bundle.path), "--out", str(out), "--cuts", "cut-02"]
    made = runner.invoke(app, [*words, "--codecs", "int8,half"])
    assert made.exit_code == 0, made.stderr
    said = " ".join(made.stderr.split())
    assert f"tritonserver --model-repository={out}" in said
    assert "splitpoint-edge run --cloud HOST:8001" in said
    assert "q2 and q4 need a calibration" in said
    refused = runner.invoke(app, words)
    assert refused.exit_code != 0
    assert "holds an export already" in str(refused.exception)
    document = json.loads(runner.invoke(app, [*words, "--force", "--json"]).stdout)
    sizes = {model["codec"]: model["frame_bytes"] for model in document["models"]}
    raw = sum(spec.nbytes() for spec in residual_bundle.cut("cut-02").frontier)
    assert (sizes["raw"], sizes["half"]) == (raw, raw // 2)
    assert all(model["batched"] for model in document["models"])


def test_help_has_an_example() -> None:
    text = runner.invoke(app, ["export", "triton", "--help"]).stdout
    assert "Example: splitpoint export triton" in text
