"""The command `splitpoint-cloud`. Each subcommand imports the heavy modules that it needs."""

from typing import Annotated

import typer

from cloud_server import defaults
from cloud_server.cli.settings import PROGRAM, ServeSettings
from partitioner.cli.flags.choices import providers
from partitioner.terminal import console
from partitioner.terminal.app import new_app
from partitioner.terminal.settings_flags import takes_settings
from protos.errors import UsageError
from protos.rpc.addresses import check_server

app = new_app(help="The cloud side of Splitpoint: serve the tails of bundles.")

_HEALTHY = "SERVING"
_HEALTH_TIMEOUT_S = 3.0


@app.callback()
def _commands(_version: console.VersionFlag = False) -> None:
    """The cloud side of Splitpoint: serve the tails of bundles."""


@app.command()
@takes_settings(PROGRAM, ServeSettings, provider=providers)
def serve(settings: ServeSettings, json: console.JsonFlag = False) -> None:
    """Serve the whole model and every tail of each bundle, until SIGTERM or Ctrl-C.

    The model is called BUNDLE, a tail BUNDLE.CUT. Every setting may also come from the environment, as
    SPLITPOINT_CLOUD_LISTEN and so on, or from --config; docs/settings.md lists them. With --json, one JSON
    line on stdout says when it is ready.

    Example: splitpoint-cloud serve --bundles bundles/ --listen 0.0.0.0:50051
    """
    try:
        from cloud_server.cli.serve import ready_sentence, run_server
    except ImportError as error:
        raise UsageError(
            f"serving needs {error.name}. Install it with: pip install 'splitpoint[cloud]'."
        ) from error
    if json:
        run_server(settings, lambda ready: console.print_json(ready, indent=None))
    else:
        run_server(settings, lambda ready: console.remark(ready_sentence(ready)))


@app.command()
def health(
    address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The server.")
    ] = defaults.LISTEN,
    service: Annotated[
        str, typer.Option(metavar="NAME", help="A service; empty: the server as a whole.")
    ] = "",
    json: console.JsonFlag = False,
) -> None:
    """Ask a server for its health: exit status 0 if it serves, else 1.

    Example: splitpoint-cloud health --address 127.0.0.1:50051
    """
    status = _ask_health(address, service)
    if json:
        console.print_json({"address": address, "service": service, "status": status})
    else:
        console.remark(f"{address}: {status}")
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


def main() -> None:
    """Run the command."""
    console.run(app)
