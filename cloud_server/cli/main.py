"""The command `splitpoint-cloud`. What is heavy is imported within the commands."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cloud_server import defaults
from partitioner.terminal import console
from partitioner.terminal.app import new_app
from protos.errors import UsageError
from protos.rpc.addresses import check_server

app = new_app(help="The cloud side of Splitpoint: serve the tails of bundles.")

_HEALTHY = "SERVING"
_HEALTH_TIMEOUT_S = 3.0


def _flag(about: str, default: str = "", *names: str) -> Any:
    """Return an option that is None when not given, and says what the settings then take."""
    return typer.Option(*names, help=about, show_default=default or False)


@app.callback()
def _commands(_version: console.VersionFlag = False) -> None:
    """The cloud side of Splitpoint: serve the tails of bundles."""


@app.command()
def serve(
    bundles: Annotated[Path | None, _flag("A folder of bundle folders, or one bundle.")] = None,
    listen: Annotated[str | None, _flag("HOST:PORT of gRPC.", defaults.LISTEN)] = None,
    http: Annotated[
        str | None, _flag("HOST:PORT of REST health, metadata, metrics.", "off")
    ] = None,
    workers: Annotated[
        int | None, _flag("Inferences that run at the same time.", "one for each core")
    ] = None,
    threads: Annotated[
        int | None, _flag("Intra-op threads of one inference.", str(defaults.THREADS))
    ] = None,
    provider: Annotated[
        str | None, _flag("Execution provider of ONNX Runtime.", defaults.PROVIDER)
    ] = None,
    max_message: Annotated[
        str | None, _flag("Larger requests are refused.", defaults.MAX_MESSAGE)
    ] = None,
    max_decoded: Annotated[
        str | None,
        _flag("Requests whose coded inputs unfold to more are refused.", "as --max-message"),
    ] = None,
    max_sessions: Annotated[
        int | None, _flag("Tails kept in memory.", str(defaults.MAX_SESSIONS))
    ] = None,
    memory: Annotated[
        str | None,
        _flag("What all loaded tails may take (not of a GPU), such as 2GiB.", "any amount"),
    ] = None,
    stream_window: Annotated[
        int | None, _flag("Requests of one stream in the server.", str(defaults.STREAM_WINDOW))
    ] = None,
    max_queue: Annotated[
        int | None, _flag("Requests in the server; more are refused.", str(defaults.MAX_QUEUE))
    ] = None,
    preload: Annotated[
        str | None, _flag("Cuts or models to load at start, with commas between.", "none")
    ] = None,
    drain: Annotated[
        str | None, _flag("Time for requests in flight after SIGTERM.", defaults.DRAIN)
    ] = None,
    log_level: Annotated[
        str | None, _flag("debug, info, warning or error.", defaults.LOG_LEVEL)
    ] = None,
    config: Annotated[
        Path | None, _flag("A TOML file of settings; flags and environment go before it.")
    ] = None,
    show_config: Annotated[
        bool, typer.Option("--show-config", help="Print the settings as JSON and end.")
    ] = False,
    json: console.JsonFlag = False,
) -> None:
    """Serve the whole model and every tail of each bundle, until SIGTERM or Ctrl-C.

    The model is called BUNDLE, a tail BUNDLE.CUT. Every setting may also come from the environment,
    as SPLITPOINT_CLOUD_LISTEN and so on. With --json, one JSON line on stdout says when it is ready.

    Example: splitpoint-cloud serve --bundles bundles/ --listen 0.0.0.0:50051
    """
    from cloud_server.cli.settings import load_settings

    given = {
        "bundles": bundles, "listen": listen, "http": http, "workers": workers,
        "threads": threads, "provider": provider, "max_message": max_message,
        "max_decoded": max_decoded, "max_sessions": max_sessions, "memory": memory,
        "stream_window": stream_window, "max_queue": max_queue, "preload": preload,
        "drain": drain, "log_level": log_level,
    }  # fmt: skip
    settings = load_settings(config, **given)
    if show_config:
        console.print_json(settings.model_dump(mode="json"))
        return
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
    address: Annotated[str, typer.Option(help="HOST:PORT of the server.")] = defaults.LISTEN,
    service: Annotated[str, typer.Option(help="A service; empty: the server as a whole.")] = "",
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
