"""Ask a server by KServe's own REST client, which is too large to be a dependency of the tests.

In an environment of its own, against a server that runs (`splitpoint-cloud serve … --http 127.0.0.1:8080`):

python -m venv kserve && kserve/bin/pip install kserve==0.21.0
kserve/bin/python scripts/try_kserve_client.py http://127.0.0.1:8080 MODEL

It imports nothing of Splitpoint. The model has to take FP32; its open sizes are taken as 1. Inference is
tried with JSON and binary data in, and JSON and binary data out; all four have to agree.
"""

import asyncio
import sys
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


async def main(url: str, model: str) -> None:
    """Ask for health, and for one inference in all forms."""
    async with httpx.AsyncClient(base_url=url) as plain:
        about: dict[str, Any] = (await plain.get(f"/v2/models/{model}")).raise_for_status().json()
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    live, ready = await client.is_server_live(url), await client.is_server_ready(url)
    known = await client.is_model_ready(url, model)
    print(f"live {live}, ready {ready}, model ready {known}")
    outputs = [output["name"] for output in about["outputs"]]
    values = {
        one["name"]: np.random.default_rng(0).normal(size=[max(size, 1) for size in one["shape"]])
        for one in about["inputs"]
    }
    found = {
        (sent, asked): await infer(client, url, model, values, outputs, sent, asked)
        for sent in (False, True)
        for asked in (False, True)
    }
    first = found[False, False]
    agree = all(np.array_equal(one, first) for one in found.values())
    print(
        f"{len(found)} forms of an inference of {first.shape}: {'alike' if agree else 'NOT alike'}"
    )
    sys.exit(not (live and ready and known and agree))


async def infer(
    client: Any,
    url: str,
    model: str,
    values: dict[str, Any],
    outputs: list[str],
    sent_binary: bool,
    asked_binary: bool,
) -> Any:
    """Return the first output, with tensors as JSON or as binary data."""
    inputs = []
    for name, array in values.items():
        tensor = InferInput(name, list(array.shape), "FP32")
        tensor.set_data_from_numpy(array.astype(np.float32), binary_data=sent_binary)
        inputs.append(tensor)
    asked = [RequestedOutput(name, {"binary_data": asked_binary}) for name in outputs]
    request = InferRequest(model, inputs, request_id="7", request_outputs=asked)
    answer = await client.infer(url, request, model_name=model)
    return answer.outputs[0].as_numpy()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
