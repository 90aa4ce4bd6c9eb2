"""The command `splitpoint-cloud health`: does a server serve?"""

from typing import Annotated

import typer

from cloud_server import defaults
from partitioner.terminal import console
from protos.rpc.addresses import check_server

_HEALTHY = "SERVING"
_HEALTH_TIMEOUT_S = 3.0


def health(
    cloud: Annotated[str, typer.Option(metavar="HOST:PORT", help="The server.")] = defaults.LISTEN,
    service: Annotated[
        str, typer.Option(metavar="NAME", help="A service; empty: the server as a whole.")
    ] = "",
    json: console.JsonFlag = False,
) -> None:
    """Ask a server for its health: exit status 0 if it serves, else 1.

    Example: splitpoint-cloud health --cloud 127.0.0.1:50051
    """
    status = _ask_health(cloud, service)
    if json:
        console.print_json({"address": cloud, "service": service, "status": status})
    else:
        console.screen.print(f"{cloud}: {status}", markup=False)
    raise typer.Exit(0 if status == _HEALTHY else 1)


def _ask_health(address: str, service: str) -> str:
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(check_server(address)) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=_HEALTH_TIMEOUT_S)
        except grpc.RpcError as error:
            code = getattr(error, "code", None)
            return f"no answer ({code().name})" if code else "no answer"
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
