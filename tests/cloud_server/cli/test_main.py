"""The command `splitpoint-cloud`: its start, its signals and its end."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cloud_server.cli.main import app
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos.errors import BundleError, UsageError
from tests.kit.cloud_calls import TIMEOUT_S, connected, crossing, oip_stub, request_for
from tests.kit.server_process import COMMAND, running, wait_for_line

# Runs the command with inferences that wait for a line on stdin, after telling that they have begun.
HELD_COMMAND = """
import sys
from partitioner.runtime.sessions import Stage

run = Stage.run

def held(stage, feeds):
    print("inference begun", flush=True)
    sys.stdin.readline()
    return run(stage, feeds)

Stage.run = held
from cloud_server.cli.main import main
main()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_drains_and_ends_with_status_0(residual_bundle: Bundle, number: int) -> None:
    held = (sys.executable, "-c", HELD_COMMAND)
    with running(held, "--bundles", str(residual_bundle.path), "--drain", "30s") as (
        process,
        ready,
    ):
        assert [entry["name"] for entry in ready["bundles"]] == ["residual"]
        assert ready["bundles"][0]["digest"] == residual_bundle.digest
        with connected(ready["address"]) as channel:
            request = request_for(residual_bundle, "cloud", crossing(residual_bundle, "cloud"))
            answer = oip_stub(channel).ModelInfer.future(request, timeout=TIMEOUT_S)
            wait_for_line(process.stdout, "inference begun")
            process.send_signal(number)
            wait_for_line(process.stderr, "draining")
            process.stdin.write("go on\n")
            process.stdin.flush()
            assert answer.result(TIMEOUT_S).outputs
        assert process.wait(TIMEOUT_S) == 0
        assert process.stdout.read() == ""


def test_health_command_tells_by_its_exit_status(residual_bundle: Bundle) -> None:
    runner = CliRunner()
    with CloudServer(residual_bundle.path) as server:
        found = runner.invoke(app, ["health", "--cloud", server.address, "--json"])
        assert found.exit_code == 0
        assert json.loads(found.stdout)["status"] == "SERVING"
        address = server.address
        told = runner.invoke(app, ["health", "--cloud", address, "--log-level", "error"])
        assert told.stdout == f"{address}: SERVING\n"  # a result, and no remark
        assert runner.invoke(app, ["health", "--cloud", address, "--service", "x"]).exit_code == 1
        alive = runner.invoke(app, ["health", "--cloud", address, "--live", "--json"])
        assert (alive.exit_code, json.loads(alive.stdout)["status"]) == (0, "LIVE")
        both = ["health", "--cloud", address, "--live", "--service", "x"]
        assert isinstance(runner.invoke(app, both).exception, UsageError)
    gone = runner.invoke(app, ["health", "--cloud", address, "--json"])
    assert gone.exit_code == 1
    assert json.loads(gone.stdout)["status"] == "no answer (UNAVAILABLE)"
    assert runner.invoke(app, ["health", "--cloud", address, "--live"]).exit_code == 1


def test_damaged_bundle_ends_the_command_with_its_sentence(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    copy = shutil.copytree(residual_bundle.path, tmp_path / "copy")
    (copy / "graphs" / "model.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match=r"model\.onnx is damaged: it has 0 bytes"):
        CloudServer(copy).__enter__()
    command = [*COMMAND, "serve", "--bundles", str(copy)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    assert found.returncode == BundleError.exit_status
    assert "Traceback" not in found.stderr
    assert "is damaged" in " ".join(found.stderr.split())


def test_light_commands_do_not_load_the_runtime() -> None:
    script = (
        "import sys, cloud_server.cli.main\n"
        "heavy = {'onnxruntime', 'fastapi', 'uvicorn', 'pydantic_settings', 'grpc'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, check=True, env={**os.environ},
    )  # fmt: skip
    assert found.stdout.strip() == "[]"
