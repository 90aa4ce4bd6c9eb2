"""Triton's own client, in a process of its own: our messages are what others take them for."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cloud_server import CloudServer
from partitioner.bundle import Bundle
from protos import inference_pb2
from tests.cloud_calls import crossing, whole

pytest.importorskip("tritonclient.grpc")

CLIENT = """
import json, queue, sys
import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

address, folder, model = sys.argv[1:]
sent = dict(np.load(folder + "/sent.npz"))
client = triton.InferenceServerClient(address)
found = {
    "live": client.is_server_live(),
    "ready": client.is_server_ready() and client.is_model_ready(model),
    "server": client.get_server_metadata().name,
    "inputs": [t.name for t in client.get_model_metadata(model).inputs],
    "outputs": [t.name for t in client.get_model_metadata(model).outputs],
}

def inputs(shift):
    made = []
    for name, array in sent.items():
        tensor = triton.InferInput(name, array.shape, "FP32")
        tensor.set_data_from_numpy(array + np.float32(shift))
        made.append(tensor)
    return made

wanted = [triton.InferRequestedOutput(name) for name in found["outputs"]]
answer = client.infer(model, inputs(0), outputs=wanted, request_id="one")
found["id"] = answer.get_response().id
got = {"infer": answer.as_numpy(found["outputs"][0])}

results = queue.Queue()
client.start_stream(callback=lambda result, error: results.put((result, error)))
for shift in range(4):
    client.async_stream_infer(model, inputs(shift), request_id=str(shift))
client.async_stream_infer("nowhere", inputs(0), request_id="lost")
errors = []
for _ in range(5):
    result, error = results.get(timeout=30)
    if error:
        errors.append(str(error))
    else:
        got["stream" + result.get_response().id] = result.as_numpy(found["outputs"][0])
client.stop_stream()
found["errors"] = errors
try:
    client.infer("nowhere", inputs(0))
except InferenceServerException as error:
    found["unknown"] = [error.status(), error.message()]
np.savez(folder + "/got.npz", **got)

service = triton.service_pb2
found["fields"] = {
    name: [[field.name, field.number, field.type, field.is_repeated] for field in message.fields]
    for name, message in service.DESCRIPTOR.message_types_by_name.items()
}
nested = service.ModelInferRequest.InferInputTensor.DESCRIPTOR
found["fields"]["InferInputTensor"] = [
    [field.name, field.number, field.type, field.is_repeated] for field in nested.fields
]
print(json.dumps(found))
"""


def our_fields(message: object) -> set[tuple[str, int, int, bool]]:
    descriptor = message.DESCRIPTOR
    return {(f.name, f.number, f.type, f.is_repeated) for f in descriptor.fields}


def run_client(bundle: Bundle, cut: str, folder: Path) -> dict[str, object]:
    np.savez(folder / "sent.npz", **crossing(bundle, cut))
    with CloudServer(bundle.path) as server:
        command = [
            sys.executable,
            "-c",
            CLIENT,
            server.address,
            str(folder),
            f"{bundle.name}.{cut}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_triton_client_is_served_and_agrees_on_every_message(
    residual_bundle: Bundle, tmp_path: Path
) -> None:
    cut = next(c for c in residual_bundle.manifest.cuts if len(c.frontier) == 1)
    found = run_client(residual_bundle, cut.id, tmp_path)

    assert (found["live"], found["ready"], found["server"]) == (True, True, "splitpoint")
    assert (found["inputs"], found["id"]) == ([cut.frontier[0].name], "one")
    (wanted,) = whole(residual_bundle).values()
    tail = residual_bundle.open_tail(cut.id)
    sent = crossing(residual_bundle, cut.id)
    with np.load(tmp_path / "got.npz") as got:
        np.testing.assert_allclose(got["infer"], wanted, rtol=1e-4, atol=1e-5)
        for shift in range(4):
            shifted = {name: array + np.float32(shift) for name, array in sent.items()}
            (expected,) = tail.run(shifted).values()
            np.testing.assert_allclose(got[f"stream{shift}"], expected, rtol=1e-4, atol=1e-5)
    assert len(found["errors"]) == 1
    assert "no model 'nowhere'" in found["errors"][0]
    assert found["unknown"][0] == "StatusCode.NOT_FOUND"

    theirs: dict[str, list[tuple[str, int, int, bool]]] = found["fields"]
    ours = {
        name: getattr(inference_pb2, name)
        for name in inference_pb2.DESCRIPTOR.message_types_by_name
    }
    ours["InferInputTensor"] = inference_pb2.ModelInferRequest.InferInputTensor
    for name, message in ours.items():
        assert our_fields(message) <= {tuple(field) for field in theirs[name]}, name
