"""A local server of the edge, and plain gRPC calls to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import pytest

from edge_client.client.async_client import AsyncEdgeClient
from edge_client.local_server import LocalServer
from partitioner.bundle.bundle import Bundle
from protos.inference_pb2 import ModelInferRequest, ModelInferResponse
from protos.inference_pb2_grpc import GRPCInferenceServiceStub
from protos.wire.framing import encode_request
from protos.wire.messages import pack_request
from tests.kit.cloud_calls import outputs_of
from tests.kit.frames import whole

CUT = "cut-02"


def request_of(bundle: Bundle, inputs: Any, frame_id: str = "") -> ModelInferRequest:
    header, raw = pack_request(bundle.name, frame_id, inputs, bundle.inputs)
    return ModelInferRequest.FromString(encode_request(header, raw))


@asynccontextmanager
async def serving(
    bundle: Bundle, cloud: str | None, cut: str = CUT, client: Any = None, **more: Any
) -> AsyncIterator[tuple[Any, LocalServer]]:
    """A local server, and the stub of one who calls it."""
    async with (
        AsyncEdgeClient(cloud, bundle, cut, **(client or {})) as split,
        LocalServer(split, **more) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield GRPCInferenceServiceStub(channel), server


async def refusal(call: Any) -> tuple[str, str]:
    """Status name and sentence of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code().name, caught.value.details() or ""


def agrees(answer: ModelInferResponse, bundle: Bundle, inputs: Any) -> None:
    wanted = whole(bundle, inputs)
    found = outputs_of(answer)
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-5)
