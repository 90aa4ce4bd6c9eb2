"""Plain gRPC calls to a cloud server, as the tests of it make them."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
import pytest

from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from partitioner.runtime.sessions import RuntimeOptions, Stage, random_feeds
from protos import splitpoint_pb2_grpc
from protos.codecs.base import Codec
from protos.codecs.registry import RAW
from protos.inference_pb2 import ModelInferRequest, ModelInferResponse
from protos.inference_pb2_grpc import GRPCInferenceServiceStub
from protos.names import model_name
from protos.tensors import Array
from protos.wire.framing import decode_stream_response, encode_request
from protos.wire.messages import pack_request, unpack_response
from tests.kit.frames import whole

TIMEOUT_S = 30
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"


@contextmanager
def connected(address: str) -> Iterator[grpc.Channel]:
    """A channel of its own, as every client has."""
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield channel


def oip_stub(channel: grpc.Channel) -> Any:
    return GRPCInferenceServiceStub(channel)


def splitpoint_stub(channel: grpc.Channel) -> Any:
    return splitpoint_pb2_grpc.SplitpointStub(channel)


def crossing(bundle: Bundle, cut: str, seed: int = 0, batch: int = 1) -> dict[str, Array]:
    """What the head of `cut` sends for random inputs."""
    feeds = random_feeds(bundle.inputs, np.random.default_rng(seed), batch)
    return bundle.open_head(cut, RuntimeOptions()).run(feeds)


def uncut(bundle: Bundle, seed: int = 0, batch: int = 1) -> dict[str, Array]:
    """What the whole model makes of the inputs that `crossing` begins with."""
    return whole(bundle, random_feeds(bundle.inputs, np.random.default_rng(seed), batch))


def request_for(
    bundle: Bundle, cut: str, values: Mapping[str, Array], *, frame_id: str = "", codec: Codec = RAW
) -> ModelInferRequest:
    """The request as a protobuf message, tensors and all."""
    header, tensors = pack_request(
        model_name(bundle.name, cut),
        frame_id,
        values,
        bundle.cut(cut).frontier,
        codec,
        bundle.digest,
    )
    return ModelInferRequest.FromString(encode_request(header, tensors))


def outputs_of(answer: ModelInferResponse) -> dict[str, Array]:
    return unpack_response(answer, answer.raw_output_contents)


def refused(call: Any) -> tuple[str, str]:
    """Status name and sentence of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return error.code().name, error.details()


def stream_all(channel: grpc.Channel, requests: list[bytes]) -> dict[str, tuple[str, Any, Any]]:
    """Send requests on one stream; answers by id, as (error message, header, outputs)."""
    answers = {}
    for data in channel.stream_stream(STREAM)(iter(requests), timeout=TIMEOUT_S):
        error, header, raw = decode_stream_response(data)
        answers[header.id] = (error, header, None if error else unpack_response(header, raw))
    return answers


def pending(server: CloudServer) -> int:
    """The requests that are in a server of this process: those that wait, and those that run."""
    return server._started()._engine.requests.pending


class Gate:
    """Holds every inference of servers until it is opened; `entered` tells that one has begun."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.opened = threading.Semaphore(0), threading.Event()
        run = Stage.run

        def held(stage: Stage, feeds: Mapping[str, Array], *_: object) -> dict[str, Array]:
            if threading.current_thread().name.startswith("infer"):
                self.entered.release()
                if not self.opened.wait(TIMEOUT_S):
                    raise TimeoutError("the gate was never opened")
            return run(stage, feeds)

        monkeypatch.setattr(Stage, "run", held)
