"""Triton's own client, in a process of its own: an independent witness of what our servers speak."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from protos.tensors import Array

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
found["parameters"] = {
    key: getattr(value, value.WhichOneof("parameter_choice"))
    for key, value in answer.get_response().parameters.items()
}
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
try:
    told = client.get_inference_statistics(model).model_stats[0]
    found["statistics"] = [told.inference_count, told.inference_stats.success.count]
except InferenceServerException as error:
    found["statistics"] = error.status()

def described(messages):
    for message in messages:
        yield message.full_name, [
            [field.name, field.number, field.type, field.is_repeated] for field in message.fields
        ]
        yield from described(message.nested_types)

files = [triton.service_pb2.DESCRIPTOR, triton.model_config_pb2.DESCRIPTOR]
found["fields"] = {
    name: fields for file in files for name, fields in described(file.message_types_by_name.values())
}
found["enums"] = {
    name: {value.name: value.number for value in enum.values}
    for file in files for name, enum in file.enum_types_by_name.items()
}
print(json.dumps(found))
"""


def run_client(address: str, model: str, sent: Mapping[str, Array], folder: Path) -> dict[str, Any]:
    """Call every method with `sent`, and on a stream with it shifted by 0 to 3; outputs go to got.npz."""
    np.savez(folder / "sent.npz", **sent)
    command = [sys.executable, "-c", CLIENT, address, str(folder), model]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


REPOSITORY_CLIENT = """
import json, sys
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

address, name = sys.argv[1:]
client = triton.InferenceServerClient(address)
found = {
    "config": client.get_model_config(name, as_json=True)["config"],
    "index": client.get_model_repository_index(as_json=True)["models"],
    "refused": [],
}

def refused(call, *arguments, **more):
    try:
        call(*arguments, **more)
    except InferenceServerException as error:
        found["refused"].append([error.status(), error.message()])
    else:
        found["refused"].append(["OK", ""])

found["versions"] = {
    version: client.get_model_config(name, version, as_json=True)["config"]["name"]
    for version in client.get_model_metadata(name).versions
}
client.unload_model(name)
found["unloaded"] = client.get_model_repository_index(as_json=True)["models"]
found["ready"] = [client.is_model_ready(name)]
client.load_model(name)
found["ready"].append(client.is_model_ready(name))
refused(client.load_model, name, config="{}")
refused(client.load_model, "nowhere")
refused(client.unload_model, name + ".nowhere", unload_dependents=True)
refused(client.register_system_shared_memory, "region", "/region", 64)
refused(client.register_cuda_shared_memory, "region", b"aGFuZGxl", 0, 64)
client.unregister_system_shared_memory()
client.unregister_cuda_shared_memory()
found["shared"] = [
    client.get_system_shared_memory_status(as_json=True),
    client.get_cuda_shared_memory_status(as_json=True),
]
print(json.dumps(found))
"""


def run_repository_client(address: str, name: str) -> dict[str, Any]:
    """Ask for configuration and index, unload and load a model, and ask for what is refused."""
    command = [sys.executable, "-c", REPOSITORY_CLIENT, address, name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
