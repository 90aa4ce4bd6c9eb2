"""The services grpc.health.v1 and reflection, for orchestrators and grpcurl."""

import asyncio
from collections.abc import Sequence
from typing import Any

from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from protos.serving.drain import Drain
from protos.serving.message_guard import GuardedServer
from protos.serving.refusals import Context


class HealthService(health_aio.HealthServicer):  # type: ignore[misc]
    """Health of the server and of its services; watchers are let go when it drains."""

    def __init__(self, services: Sequence[str], drain: Drain) -> None:
        super().__init__()
        self._services = services
        self._drain = drain

    async def announce(self) -> None:
        """Say that everything is served."""
        for service in ("", *self._services):
            await self.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def withdraw(self) -> None:
        """Say that nothing should be sent here, until it is announced again."""
        for service in ("", *self._services):
            await self.set(service, health_pb2.HealthCheckResponse.NOT_SERVING)

    async def Watch(self, request: Any, context: Context) -> None:  # noqa: N802
        """Send the status now and at each change; end after NOT_SERVING when the server drains."""
        watching = asyncio.create_task(super().Watch(request, context))
        try:
            with self._drain.listener(watching.cancel):
                await asyncio.wait({watching})
        finally:
            watching.cancel()
        if self._drain.started:
            status = health_pb2.HealthCheckResponse.NOT_SERVING
            await context.write(health_pb2.HealthCheckResponse(status=status))
        else:
            watching.result()


def add_health(server: GuardedServer, health: HealthService) -> None:
    """Register grpc.health.v1 with a server that has not started; SERVING once announced."""
    health_pb2_grpc.add_HealthServicer_to_server(health, server)


def add_reflection(server: GuardedServer, stubs: Sequence[Any]) -> None:
    """Register reflection of the services in these generated modules, of health, and of itself."""
    files = (*stubs, health_pb2, reflection_pb2)
    pool = descriptor_pool.DescriptorPool()
    for module in files:
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    services = [name for module in files for name in _services_of(module)]
    servicer = reflection.aio.ReflectionServicer(services, pool=pool)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)


def _services_of(module: Any) -> list[str]:
    return [service.full_name for service in module.DESCRIPTOR.services_by_name.values()]
