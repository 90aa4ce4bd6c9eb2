"""Health and reflection, for orchestrators and for people with a generic client."""

import asyncio
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from cloud_server.server import CloudServer
from partitioner.bundle.bundle import Bundle
from protos import inference_pb2, splitpoint_pb2
from tests.kit.cloud_calls import TIMEOUT_S, connected, refused

SERVICES = ("inference.GRPCInferenceService", "splitpoint.v1.Splitpoint")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture(scope="module")
def channel(residual_bundle: Bundle) -> Iterator[grpc.Channel]:
    server = CloudServer(residual_bundle.path)
    with server, connected(server.address) as channel:
        yield channel


def test_server_and_both_services_are_serving(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", *SERVICES):
        request = health_pb2.HealthCheckRequest(service=service)
        assert stub.Check(request, timeout=TIMEOUT_S).status == SERVING
    request = health_pb2.HealthCheckRequest(service="another")
    assert refused(lambda: stub.Check(request, timeout=TIMEOUT_S))[0] == "NOT_FOUND"


async def test_watcher_hears_of_the_drain_and_does_not_hold_it_up(residual_bundle: Bundle) -> None:
    server = CloudServer(residual_bundle.path)
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        stopping = asyncio.create_task(server.stop(TIMEOUT_S))
        assert (await watch.read()).status == NOT_SERVING
        await asyncio.wait_for(stopping, TIMEOUT_S / 2)


def test_reflection_finds_every_service_and_its_messages(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert {*SERVICES, "grpc.health.v1.Health"} <= set(database.get_services())
    pool = DescriptorPool(database)
    ours = (inference_pb2.DESCRIPTOR, splitpoint_pb2.DESCRIPTOR)
    for name, file in zip(SERVICES, ours, strict=True):
        wanted = next(iter(file.services_by_name.values()))
        found = pool.FindServiceByName(name)
        assert {method.name for method in found.methods} == {m.name for m in wanted.methods}
        for method in found.methods:
            assert method.input_type.full_name.startswith(name.rpartition(".")[0])
    assert pool.FindServiceByName("grpc.health.v1.Health")
    request = pool.FindMessageTypeByName("inference.ModelInferRequest")
    assert request.fields_by_name["raw_input_contents"].number == 7
