"""The command run: a record a frame, a summary, and an exit status."""

import json
from pathlib import Path

from typer.testing import CliRunner

from cloud_server.server import CloudServer
from edge_client.cli.main import app
from partitioner.bundle.bundle import Bundle
from protos.telemetry import Telemetry
from tests.kit.edge_commands import run_edge
from tests.kit.observations import CUT


def test_run_shows_rules_in_remarks_and_telemetry(residual_bundle: Bundle, source: Path) -> None:
    done = run_edge(
        residual_bundle, source, "--battery", "12%", "--temperature", "none", "--device", "phone",
        "--telemetry", "10s", "--json", "--max-frames", 1,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "power: battery 12 %" in done.stderr
    assert (
        "power: low battery begins, very low battery begins (battery 12 %): at most 5 frames a second"
        in " ".join(done.stderr.split())
    )
    assert "power: the cut is fixed, so no weight changes" in done.stderr
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    (power,) = [line["telemetry"]["power"] for line in documents if "telemetry" in line]
    assert power == {
        "battery": 0.12, "charging": None, "temperature_c": None,
        "rules": ["low battery", "very low battery"], "energy_factor": 1.0, "max_fps": 5.0,
    }  # fmt: skip


def test_run_writes_telemetry_beside_the_frames_and_sends_it(
    image_bundle: Bundle, tmp_path: Path
) -> None:
    import numpy as np

    (spec,) = image_bundle.inputs
    np.save(tmp_path / "x.npy", np.zeros(spec.sized(), np.uint8))
    with CloudServer(image_bundle.path) as cloud:
        done = CliRunner().invoke(
            app,
            ["run", "--cloud", cloud.address, "--bundle", str(image_bundle.path), "--cut", CUT,
             "--source", str(tmp_path / "x.npy"), "--telemetry", "60min", "--name", "cam-7",
             "--metrics", "127.0.0.1:0", "--json"],
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        (seen,) = cloud.edges.newest()
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [next(iter(record)) for record in records] == ["frame", "telemetry", "summary"]
    assert Telemetry.model_validate(records[1]["telemetry"]) == seen
    assert (seen.edge, seen.served_by) == ("cam-7", {"cloud": 1})
    assert seen.stages["network"].total_s > 0
