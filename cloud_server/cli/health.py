"""The command `splitpoint-cloud health`: does a server serve?"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from cloud_server import defaults
from partitioner.terminal import console
from partitioner.terminal.connection_flags import secures_connections
from protos.errors import UsageError
from protos.security.channel_security import ChannelSecurity

if TYPE_CHECKING:
    import grpc

_HEALTHY, _ALIVE = "SERVING", "LIVE"
_HEALTH_TIMEOUT_S = 3.0

Question = Callable[["grpc.Channel"], str]


@secures_connections
def health(
    security: ChannelSecurity,
    cloud: Annotated[str, typer.Option(metavar="HOST:PORT", help="The server.")] = defaults.LISTEN,
    service: Annotated[
        str, typer.Option(metavar="NAME", help="A service; empty: the server as a whole.")
    ] = "",
    live: Annotated[
        bool, typer.Option("--live", help="Ask whether it is alive, ready or not.")
    ] = False,
    json: console.JsonFlag = False,
) -> None:
    """Ask a server for its health: exit status 0 if it serves, else 1.

    With --live a server that is not ready, as while it drains, is well, too: by that orchestrators restart.

    Example: splitpoint-cloud health --cloud 127.0.0.1:50051
    """
    if live and service:
        raise UsageError("--live is about the server as a whole. Leave out --service or --live.")
    status = _ask(cloud, security, _alive if live else _serving(service))
    if json:
        console.print_json({"address": cloud, "service": service, "status": status})
    else:
        console.screen.print(f"{cloud}: {status}", markup=False)
    raise typer.Exit(0 if status in (_HEALTHY, _ALIVE) else 1)


def _ask(address: str, security: ChannelSecurity, question: Question) -> str:
    import grpc

    from protos.rpc.calls import translate
    from protos.rpc.endpoints import Endpoint

    server = Endpoint(address, security)
    with server.open() as channel:
        try:
            return question(channel)
        except grpc.RpcError as error:
            console.warn(str(translate(error, server)))
            return f"no answer ({error.code().name})"


def _serving(service: str) -> Question:
    def ask(channel: "grpc.Channel") -> str:
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        request = health_pb2.HealthCheckRequest(service=service)
        answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=_HEALTH_TIMEOUT_S)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    return ask


def _alive(channel: "grpc.Channel") -> str:
    from protos import inference_pb2, inference_pb2_grpc

    stub = inference_pb2_grpc.GRPCInferenceServiceStub(channel)
    answer = stub.ServerLive(inference_pb2.ServerLiveRequest(), timeout=_HEALTH_TIMEOUT_S)
    return _ALIVE if answer.live else "not live"
