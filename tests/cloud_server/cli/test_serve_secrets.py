"""Everything that a server with devices prints and answers, searched for its secrets."""

import json
import subprocess
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import grpc

from cloud_server.security.device_file import read_devices
from cloud_server.security.tokens import new_token
from partitioner.bundle.bundle import Bundle
from protos import splitpoint_pb2 as sp
from protos.inference_pb2 import ModelMetadataRequest, ServerMetadataRequest
from tests.kit.cloud_calls import TIMEOUT_S, connected, oip_stub, splitpoint_stub
from tests.kit.devices import enrol, showing
from tests.kit.server_process import COMMAND, running


def test_no_token_and_no_digest_is_ever_printed(residual_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    good = enrol(path, "cam-1", "infer", "telemetry", "admin")
    other = enrol(path, "cam-2", "fetch", models=["digits"])
    wrong = [new_token(), new_token()]
    forged = f"spt_{good.key}_{wrong[0].text[-64:]}"
    shown: list[object] = []
    server = ["--bundles", str(residual_bundle.path), "--devices", str(path)]
    with running(COMMAND, *server, "--http", "127.0.0.1:0", "--log-level", "debug") as (
        process,
        ready,
    ):
        shown.append(ready)
        for text in (good.text, other.text, wrong[0].text, forged, ""):
            shown += [_grpc(ready["address"], text), _http(ready["http"], text)]
        process.terminate()
        shown += process.communicate(timeout=TIMEOUT_S)
    config = [*COMMAND, "serve", *server, "--show-config"]
    found = subprocess.run(config, capture_output=True, text=True, check=True, timeout=TIMEOUT_S)
    shown += [found.stdout, found.stderr]

    said = json.dumps(shown, default=str)
    assert "cam-2 may not use the model" in said
    assert "this server does not know the token" in said
    digests = [token.sha256 for device in read_devices(path).devices for token in device.tokens]
    for secret in (good.text, other.text, wrong[0].text, forged):
        assert secret not in said
        assert secret[-64:] not in said
    for digest in digests:
        assert digest not in said


def _grpc(address: str, text: str) -> list[str]:
    said = []
    with connected(address) as channel:
        shown = showing(channel, text) if text else channel
        oip, splitpoint = oip_stub(shown), splitpoint_stub(shown)
        for ask in (
            lambda: oip.ServerMetadata(ServerMetadataRequest(), timeout=TIMEOUT_S),
            lambda: oip.ModelMetadata(ModelMetadataRequest(name="residual"), timeout=TIMEOUT_S),
            lambda: splitpoint.ListBundles(sp.ListBundlesRequest(), timeout=TIMEOUT_S),
            lambda: list(
                splitpoint.FetchBundle(sp.FetchBundleRequest(name="x"), timeout=TIMEOUT_S)
            ),
        ):
            try:
                said.append(str(ask()))
            except grpc.RpcError as error:
                said.append(str(error))
    return said


def _http(address: str, text: str) -> list[str]:
    said = []
    for page in ("v2", "metrics", "v2/models/residual", "v2/models/stats"):
        headers = {"authorization": f"Bearer {text}"} if text else {}
        request = urllib.request.Request(f"http://{address}/{page}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as found:
                said += [str(found.headers), found.read().decode()]
        except HTTPError as error:
            said += [str(error.headers), error.read().decode()]
    return said
