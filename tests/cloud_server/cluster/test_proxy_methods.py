"""The methods that Serve's proxies take."""

from typing import Any

import grpc

from cloud_server.cluster.proxy_methods import ADD_METHODS, HEALTH, METHODS, STREAMS, add_methods
from protos import inference_pb2
from protos.serving.inference import SERVICE


class Proxy:
    """A server as Serve's proxies are: it reads the methods out of the handlers that it gets."""

    def __init__(self) -> None:
        self.methods: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        self.methods |= handlers[0]._method_handlers


def test_proxy_gets_requests_and_answers_as_bytes() -> None:
    proxy = Proxy()
    add_methods(object(), proxy)
    streams = {f"/{service}/{name}" for service, names in STREAMS.items() for name in names}
    others = {f"/{service}/{name}" for service, names in METHODS.items() for name in names}
    assert set(proxy.methods) == streams | others
    for path, handler in proxy.methods.items():
        assert isinstance(handler, grpc.RpcMethodHandler)
        assert (handler.request_deserializer, handler.response_serializer) == (None, None)
        assert not handler.request_streaming
        assert handler.response_streaming == (path in streams)


def test_every_method_of_the_protocol_without_a_stream_is_taken() -> None:
    service = inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    standard = {"ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata"}
    assert standard | {"ModelInfer", "ModelConfig"} == set(METHODS[SERVICE])
    assert set(METHODS[SERVICE]) < {method.name for method in service.methods}
    assert METHODS[HEALTH] == ("Check",)


def test_serve_finds_the_function_by_its_name() -> None:
    module, _, name = ADD_METHODS.rpartition(".")
    assert (module, name) == (add_methods.__module__, add_methods.__name__)
