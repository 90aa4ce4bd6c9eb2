"""The command that is told to stop: it says first that it is not ready, and serves on."""

import json
import signal
import urllib.error
import urllib.request

from grpc_health.v1 import health_pb2, health_pb2_grpc
from typer.testing import CliRunner

from cloud_server.cli.main import app
from partitioner.bundle.bundle import Bundle
from protos.inference_pb2 import ModelReadyRequest, ServerReadyRequest
from tests.kit.cloud_calls import TIMEOUT_S, connected, crossing, oip_stub, request_for
from tests.kit.rest_calls import document_of, infer_path
from tests.kit.server_process import COMMAND, running, wait_for_line


def status_of(url: str, body: bytes | None = None) -> int:
    try:
        with urllib.request.urlopen(url, body, TIMEOUT_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_server_under_notice_is_not_ready_serves_on_and_ends_at_once_when_told_again(
    residual_bundle: Bundle,
) -> None:
    values = crossing(residual_bundle, "cloud")
    request = request_for(residual_bundle, "cloud", values)
    body = json.dumps(document_of(residual_bundle, "cloud", values)).encode()
    arguments = ("--bundles", str(residual_bundle.path), "--http", "127.0.0.1:0")
    with (
        running(COMMAND, *arguments, "--drain-notice", "10min") as (process, ready),
        connected(ready["address"]) as channel,
    ):
        web, stub = f"http://{ready['http']}", oip_stub(channel)
        health = health_pb2_grpc.HealthStub(channel)
        assert status_of(f"{web}/readyz") == 200
        process.send_signal(signal.SIGTERM)
        wait_for_line(process.stderr, "not ready from now on")
        watched = health.Watch(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
        states = (state.status for state in watched)
        assert health_pb2.HealthCheckResponse.NOT_SERVING in states
        watched.cancel()
        for page in ("readyz", "v2/health/ready", "v2/models/residual/ready"):
            assert status_of(f"{web}/{page}") == 503
        assert status_of(f"{web}/livez") == 200
        asked = ["health", "--cloud", ready["address"]]
        assert CliRunner().invoke(app, asked).exit_code == 1
        assert CliRunner().invoke(app, [*asked, "--live"]).exit_code == 0
        assert not stub.ServerReady(ServerReadyRequest(), timeout=TIMEOUT_S).ready
        assert not stub.ModelReady(ModelReadyRequest(name="residual"), timeout=TIMEOUT_S).ready
        assert stub.ModelInfer(request, timeout=TIMEOUT_S).outputs
        assert status_of(web + infer_path(residual_bundle), body) == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == -signal.SIGTERM
