"""The command `splitpoint-cloud`: its settings, its start and its end."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import grpc
import pytest
from typer.testing import CliRunner

from cloud_server.cli.main import app
from cloud_server.cli.settings import load_settings
from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos.errors import BundleError, UsageError
from tests.kit.cloud_calls import TIMEOUT_S, connected, crossing, oip_stub, refused, request_for

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


@contextmanager
def running(program: Sequence[str], *arguments: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A server process that is ready, and what it said then."""
    command = [*program, "serve", "--listen", "127.0.0.1:0", "--json", *arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            line = process.stdout.readline()
            if not line:
                pytest.fail(f"no ready line: {process.stderr.read()}")
            yield process, json.loads(line)
        finally:
            process.kill()


def wait_for_line(stream: IO[str], text: str) -> None:
    if not any(text in line for line in stream):
        pytest.fail(f"{text!r} was never said")


COMMAND = (sys.executable, "-c", "from cloud_server.cli.main import main; main()")


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
        found = runner.invoke(app, ["health", "--address", server.address, "--json"])
        assert found.exit_code == 0
        assert json.loads(found.stdout)["status"] == "SERVING"
        address = server.address
        assert runner.invoke(app, ["health", "--address", address, "--service", "x"]).exit_code == 1
    gone = runner.invoke(app, ["health", "--address", address, "--json"])
    assert gone.exit_code == 1
    assert json.loads(gone.stdout)["status"] == "no answer (UNAVAILABLE)"


def test_flags_go_before_environment_before_file_before_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "cloud.toml"
    config.write_text('bundles = "a"\nthreads = 2\nmax_sessions = 3\npreload = ["c1", "c2"]\n')
    monkeypatch.setenv("SPLITPOINT_CLOUD_MAX_SESSIONS", "4")
    monkeypatch.setenv("SPLITPOINT_CLOUD_STREAM_WINDOW", "5")
    found = load_settings(config, stream_window=6, workers=None)
    assert (found.bundles, found.threads, found.max_sessions) == (Path("a"), 2, 4)
    assert (found.stream_window, found.preload) == (6, ("c1", "c2"))
    assert (found.max_message_bytes, found.drain_s) == (64 << 20, 10.0)
    monkeypatch.setenv("SPLITPOINT_CLOUD_PRELOAD", "c3, c4")
    assert load_settings(config).preload == ("c3", "c4")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, r"--bundles is missing\. Give it, or set SPLITPOINT_CLOUD_BUNDLES"),
        ({"bundles": "a", "workers": 0}, "--workers is wrong: .*greater than or equal to 1"),
        ({"bundles": "a", "color": "red"}, "no setting 'color'"),
        ({"bundles": "a", "max_message": "64"}, "no unit of size"),
        ({"bundles": "a", "max_message": "3B"}, "lets nothing through"),
        ({"bundles": "a", "drain": "soon"}, "is not a duration"),
        ({"bundles": "a", "listen": "here"}, "no address to listen on"),
        ({"bundles": "a", "listen": "::1:50"}, "no address to listen on"),
        ({"bundles": "a", "listen": "h:70000"}, "Ports go from 0 to 65535"),
        ({"bundles": "a", "log_level": "loud"}, "--log-level is wrong"),
    ],
)
def test_wrong_setting_is_named(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        load_settings(**given)


def test_settings_file_that_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no settings file"):
        load_settings(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("= 1")
    with pytest.raises(UsageError, match=r"broken\.toml cannot be read"):
        load_settings(tmp_path / "broken.toml")


def test_show_config_prints_the_settings_and_serves_nothing(tmp_path: Path) -> None:
    arguments = ["serve", "--bundles", str(tmp_path), "--show-config", "--drain", "3s"]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0
    assert json.loads(found.stdout)["drain"] == "3s"


def test_port_that_is_taken_is_a_clear_error(residual_bundle: Bundle) -> None:
    with (
        CloudServer(residual_bundle.path) as server,
        pytest.raises(UsageError, match=r"cannot listen on .*in use.*Choose another --listen"),
        CloudServer(residual_bundle.path, listen=server.address),
    ):
        pass


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


def test_server_cannot_be_asked_for_its_address_before_it_runs(residual_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="not running"):
        _ = CloudServer(residual_bundle.path).address


def test_stopped_server_refuses_connections(residual_bundle: Bundle) -> None:
    with CloudServer(residual_bundle.path) as server:
        address = server.address
    request = request_for(residual_bundle, "cloud", crossing(residual_bundle, "cloud"))
    with connected(address) as channel:
        code, _ = refused(lambda: oip_stub(channel).ModelInfer(request, timeout=TIMEOUT_S))
    assert code == grpc.StatusCode.UNAVAILABLE.name


def test_light_commands_do_not_load_the_runtime() -> None:
    script = (
        "import sys, cloud_server.cli\n"
        "heavy = {'onnxruntime', 'fastapi', 'uvicorn', 'pydantic_settings', 'grpc'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, check=True, env={**os.environ},
    )  # fmt: skip
    assert found.stdout.strip() == "[]"
