"""Ask a server by KServe's own clients of REST and gRPC, which are too large to be dependencies of the tests.

In an environment of its own, against a server that runs (`splitpoint-cloud serve … --http 127.0.0.1:8080`):

python -m venv kserve && kserve/bin/pip install kserve==0.21.0
kserve/bin/python scripts/try_kserve_client.py http://127.0.0.1:8080 127.0.0.1:50051 digits digits.cut-04

It imports nothing of Splitpoint. The open sizes of a model's inputs are taken as 1. Inference is tried by
REST with JSON and binary data in, and JSON and binary data out, and by gRPC with raw contents and typed ones;
all have to agree.
"""

import argparse
import asyncio
import sys
from itertools import product
from typing import Any

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.grpc import grpc_predict_v2_pb2, grpc_predict_v2_pb2_grpc
from kserve.protocol.infer_type import RequestedOutput

Values = dict[str, tuple[str, Any]]
"""Arrays by the names of inputs, each with its data type."""


async def main(url: str, address: str, models: list[str]) -> bool:
    """Return whether both clients find the server live and ready, and all forms of each inference alike."""
    rest = InferenceRESTClient(RESTConfig(protocol="v2"))
    async with InferenceGRPCClient(address) as grpc:
        by_rest = [await rest.is_server_live(url), await rest.is_server_ready(url)]
        by_grpc = [await grpc.is_server_live(), await grpc.is_server_ready()]
        print(f"live and ready: by REST {by_rest}, by gRPC {by_grpc}")
        found = [await ask(rest, url, grpc, model) for model in models]
    return all([*by_rest, *by_grpc, *found])


async def ask(rest: Any, url: str, grpc: Any, model: str) -> bool:
    """Ask for one model in all forms."""
    known = [await rest.is_model_ready(url, model), await grpc.is_model_ready(model)]
    values, outputs = await about(grpc, model)
    found = {}
    for sent, asked in product((False, True), repeat=2):
        answer = await rest.infer(
            url, request_of(model, values, outputs, sent, asked), model_name=model
        )
        found[f"REST, {'binary' if sent else 'JSON'} in, {'binary' if asked else 'JSON'} out"] = (
            answer
        )
    for sent in (False, True):
        answer = await grpc.infer(request_of(model, values, outputs, sent, None))
        found[f"gRPC, {'raw' if sent else 'typed'} contents"] = answer
    arrays = {form: [one.as_numpy() for one in answer.outputs] for form, answer in found.items()}
    first = next(iter(arrays.values()))
    other = [
        form
        for form, found in arrays.items()
        if not all(map(np.array_equal, found, first)) or len(found) != len(outputs)
    ]
    shapes = ", ".join(f"{name} {one.shape}" for name, one in zip(outputs, first, strict=True))
    print(f"{model}: ready {known}; {len(arrays)} forms of an inference of {shapes}: ", end="")
    print(f"not alike: {other}" if other else "alike")
    return all(known) and not other


async def about(grpc: Any, model: str) -> tuple[Values, list[str]]:
    """Return random inputs for a model, and the names of its outputs."""
    stub = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(grpc._channel)
    told = await stub.ModelMetadata(grpc_predict_v2_pb2.ModelMetadataRequest(name=model))
    draw, values = np.random.default_rng(0), {}
    for one in told.inputs:
        shape = [max(size, 1) for size in one.shape]
        is_image = one.datatype == "UINT8"
        array = draw.integers(0, 256, shape, "uint8") if is_image else draw.normal(size=shape)
        values[one.name] = one.datatype, array if is_image else array.astype("float32")
    return values, [one.name for one in told.outputs]


def request_of(
    model: str, values: Values, outputs: list[str], is_binary: bool, is_asked_binary: bool | None
) -> Any:
    """Return a request with its tensors as binary data or not; by gRPC nothing is asked of the outputs."""
    inputs = []
    for name, (datatype, array) in values.items():
        tensor = InferInput(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array, binary_data=is_binary)
        inputs.append(tensor)
    asked = [RequestedOutput(name, {"binary_data": is_asked_binary}) for name in outputs]
    return InferRequest(
        model, inputs, request_id="7", request_outputs=None if is_asked_binary is None else asked
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("url", help="of REST: http://HOST:PORT")
    parser.add_argument("address", help="of gRPC: HOST:PORT")
    parser.add_argument("models", nargs="+", metavar="model")
    told = parser.parse_args()
    sys.exit(not asyncio.run(main(told.url, told.address, told.models)))
