"""Triton's own client for REST, in a process of its own: it brings gevent, and is an independent witness."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from protos.tensors import Array

CLIENT = """
import json, sys
import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

address, folder, model = sys.argv[1:]
sent = dict(np.load(folder + "/sent.npz"))
client = triton.InferenceServerClient(address)
metadata = client.get_model_metadata(model)
version = metadata["versions"][0]
found = {
    "live": client.is_server_live(),
    "ready": client.is_server_ready() and client.is_model_ready(model, version),
    "server": client.get_server_metadata()["name"],
    "inputs": [[t["name"], t["datatype"]] for t in metadata["inputs"]],
    "answers": {},
}
(output,) = [t["name"] for t in metadata["outputs"]]

def inputs(binary):
    made = []
    for name, array in sent.items():
        tensor = triton.InferInput(name, array.shape, "FP32")
        tensor.set_data_from_numpy(array, binary_data=binary)
        made.append(tensor)
    return made

got = {}
for binary in (True, False):
    for asked in (True, False, None):
        for packing in (None, "gzip", "deflate"):
            outputs = None
            if asked is not None:
                outputs = [triton.InferRequestedOutput(output, binary_data=asked)]
            answer = client.infer(
                model, inputs(binary), outputs=outputs, request_id="7", model_version=version,
                request_compression_algorithm=packing, response_compression_algorithm=packing,
                parameters={"priority_of_mine": 3}, timeout=60_000_000,
            )
            name = f"{binary} {asked} {packing}"
            got[name] = answer.as_numpy(output)
            response = answer.get_response()
            found["answers"][name] = [
                response["id"], response["model_name"], "data" in answer.get_output(output)
            ]
np.savez(folder + "/got.npz", **got)
pending = [client.async_infer(model, inputs(True)) for _ in range(3)]
found["together"] = [list(one.get_result().as_numpy(output).shape) for one in pending]
found["statistics"] = client.get_inference_statistics(model, version)["model_stats"]
client.unregister_cuda_shared_memory()
found["regions"] = client.get_system_shared_memory_status()
config = client.get_model_config(model, version)
found["config"] = [config["name"], config["input"][0]["data_type"], config["input"][0]["dims"]]
found["index"] = client.get_model_repository_index()
bundle = model.partition(".")[0]
client.unload_model(bundle)
found["unloaded"] = [client.is_model_ready(model), client.get_model_repository_index()]
client.load_model(bundle)
found["loaded"] = client.is_model_ready(model)
found["refused"] = []
shared = triton.InferInput(*[(n, a.shape, "FP32") for n, a in sent.items()][0])
shared.set_shared_memory("region", 16)
top = triton.InferRequestedOutput(output, class_count=3)
for calls in (
    lambda: client.infer("nowhere", inputs(True)),
    lambda: client.infer(model, [shared]),
    lambda: client.infer(model, inputs(True), outputs=[top]),
    lambda: client.load_model("nowhere"),
    lambda: client.register_system_shared_memory("region", "/key", 16),
):
    try:
        calls()
        found["refused"].append(None)
    except InferenceServerException as error:
        found["refused"].append([error.status(), error.message()])
print(json.dumps(found))
"""


def run_http_client(
    address: str, model: str, sent: Mapping[str, Array], folder: Path
) -> dict[str, Any]:
    """Infer with `sent` in all forms; outputs go to got.npz by `BINARY ASKED PACKING`."""
    np.savez(folder / "sent.npz", **sent)
    command = [sys.executable, "-c", CLIENT, address, str(folder), model]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
