"""The command `splitpoint-cloud health`: does a server serve?"""

from typing import Annotated

import typer

from cloud_server import defaults
from partitioner.terminal import console
from partitioner.terminal.connection_flags import secures_connections
from protos.security.channel_security import ChannelSecurity

_HEALTHY = "SERVING"
_HEALTH_TIMEOUT_S = 3.0


@secures_connections
def health(
    security: ChannelSecurity,
    cloud: Annotated[str, typer.Option(metavar="HOST:PORT", help="The server.")] = defaults.LISTEN,
    service: Annotated[
        str, typer.Option(metavar="NAME", help="A service; empty: the server as a whole.")
    ] = "",
    json: console.JsonFlag = False,
) -> None:
    """Ask a server for its health: exit status 0 if it serves, else 1.

    Example: splitpoint-cloud health --cloud 127.0.0.1:50051
    """
    status = _ask_health(cloud, security, service)
    if json:
        console.print_json({"address": cloud, "service": service, "status": status})
    else:
        console.screen.print(f"{cloud}: {status}", markup=False)
    raise typer.Exit(0 if status == _HEALTHY else 1)


def _ask_health(address: str, security: ChannelSecurity, service: str) -> str:
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    from protos.rpc.calls import translate
    from protos.rpc.endpoints import Endpoint

    server = Endpoint(address, security)
    with server.open() as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=_HEALTH_TIMEOUT_S)
        except grpc.RpcError as error:
            console.warn(str(translate(error, server)))
            return f"no answer ({error.code().name})"
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
