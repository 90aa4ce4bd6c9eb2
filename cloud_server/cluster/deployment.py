"""Putting tails on a cluster: connect, deploy, and wait until somebody answers; or say why nobody does."""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import ray
from ray import serve

from cloud_server.cluster.application import NAME, application_of
from cloud_server.cluster.options import ClusterOptions
from cloud_server.cluster.proxy_methods import ADD_METHODS
from partitioner.common.units import format_duration
from partitioner.settings.log_options import LogOptions
from protos import inference_pb2 as oip
from protos.errors import BundleError, UnreachableError, UsageError
from protos.inference_pb2_grpc import GRPCInferenceServiceStub
from protos.rpc.addresses import split_address
from protos.rpc.channels import channel_options
from protos.rpc.message_limits import is_over_limit
from protos.splitpoint_pb2 import ProbeRequest
from protos.splitpoint_pb2_grpc import SplitpointStub

LOCAL = "local"
"""The word for a cluster that begins and ends with this process."""

USES_GRPC = "RAY_SERVE_USE_GRPC_BY_DEFAULT"
MOST_BYTES = "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH"
"""Variables of Ray: whether proxies and replicas talk by gRPC, and the bytes that they hand on at most."""

_FRAMING_BYTES = 1 << 20
"""Room for what Serve sends beside a request: metadata of the call, names, framing."""
_PROBE_BYTES = 64
"""Room for the fields of a probe."""
_USUAL_BYTES = 4 << 20
"""What Serve hands on unless it is told: answers and pieces of bundles, too."""
_MOST_OF_GRPC = (1 << 31) - 1
_CONNECT_S = 5.0
_LOOK_S = 0.25
_ASK_S = 2.0
_CARRY_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where tails are deployed to.

    `cluster`: HOST:PORT of a head node, or a word for it; `port` of gRPC at each proxy; `http`: HOST:PORT of
    Serve's own HTTP there; `ready_s`: how long it may take until a replica answers.
    """

    cluster: str
    port: int
    http: str
    ready_s: float


@contextmanager
def connected(cluster: str, max_message_bytes: int) -> Iterator[None]:
    """Be connected to a cluster within the block; UnreachableError where there is none.

    One of this machine hands on requests of `max_message_bytes`; of others whoever starts their nodes says
    how many. Raises UsageError for what is no address.
    """
    if cluster == LOCAL:
        # Between proxies and replicas: half of what a request costs by calls of actors (docs/scaling.md).
        os.environ.setdefault(USES_GRPC, "1")
        os.environ.setdefault(MOST_BYTES, str(room_for(max_message_bytes)))
    head = None if cluster in (LOCAL, "auto") else split_address(cluster)
    try:
        if head:
            # Ray itself would try for minutes.
            socket.create_connection(head, _CONNECT_S).close()
        ray.init(
            address=cluster,
            include_dashboard=False if cluster == LOCAL else None,
            log_to_driver=cluster == LOCAL,
            logging_level=logging.WARNING,
        )
    except Exception as error:  # Ray raises this very class, too
        raise _unconnected(cluster, error) from error
    try:
        yield
    finally:
        if cluster == LOCAL:
            serve.shutdown()
        ray.shutdown()


def room_for(max_message_bytes: int) -> int:
    """Return the bytes that proxies and replicas have to hand on for requests of `max_message_bytes`."""
    return max(_USUAL_BYTES, min(max_message_bytes + _FRAMING_BYTES, _MOST_OF_GRPC))


def carries(address: str, max_message_bytes: int) -> bool:
    """Tell whether a request of so many bytes passes a proxy; what is not found out counts as passing."""
    probe = ProbeRequest(payload=bytes(max_message_bytes - _PROBE_BYTES))
    with grpc.insecure_channel(address, channel_options(max_message_bytes)) as channel:
        try:
            SplitpointStub(channel).Probe(probe, timeout=_CARRY_S)
        except grpc.RpcError as error:
            return not is_over_limit(error.details() or "")
    return True


def _unconnected(cluster: str, error: Exception) -> UnreachableError:
    why = _first_line(error)
    if cluster == LOCAL:
        return UnreachableError(
            f"no Ray cluster starts here: {why}. Try again when the machine is less busy, or see Ray's logs.",
            "does not start",
        )
    return UnreachableError(
        f"no Ray cluster answers at {cluster!r}: {why}. Start one with: ray start --head; or give "
        f"{LOCAL} for one of this machine alone.",
        "does not answer",
    )


def deploy(
    options: ClusterOptions,
    place: Place,
    logs: LogOptions,
    clock: Callable[[], float] = time.monotonic,
) -> list[str]:
    """Deploy tails, or renew those that are there; return HOST:PORT of each proxy that serves them.

    Replicas are renewed one after another, and each goes on until another one is there. Where that
    fails, those that were there go on, and of new ones nothing is left. Raises BundleError with what the
    replicas say when none of them starts, UsageError when the cluster has no room for them
    within `ready_s`, and when Serve runs there already with other methods or at another port.
    """
    _start_serve(place)
    is_first = NAME not in serve.status().applications
    target = serve.RunTarget(application_of(options, logs), name=NAME, route_prefix="/")
    serve.run_many([target], wait_for_applications_running=False)
    until_s = clock() + place.ready_s
    try:
        _wait_until_running(options, place, until_s, clock)
        return _proxies(place, until_s, clock)
    except BaseException:
        if is_first:
            serve.delete(NAME)
        raise


def _start_serve(place: Place) -> None:
    """Start Serve with its proxies, unless it runs; UsageError where they cannot listen."""
    host, port = split_address(place.http)
    try:
        serve.start(
            proxy_location="EveryNode",
            http_options={"host": host, "port": port},
            grpc_options={
                "port": place.port,
                "grpc_servicer_functions": [ADD_METHODS],
                "enable_reflection": False,
            },
            logging_config={"enable_access_log": False, "log_level": "WARNING"},
        )
    except Exception as error:  # whatever a proxy raises comes as an error of Ray
        raise UsageError(
            f"the proxies of Serve do not start: {_last_line(error)}. Where another program has the port, "
            "choose another `port` or `http`."
        ) from error


def _wait_until_running(
    options: ClusterOptions, place: Place, until_s: float, clock: Callable[[], float]
) -> None:
    while True:
        status = serve.status().applications.get(NAME)
        state = status.status.value if status else ""
        if state == "RUNNING":
            return
        if status is not None and state in ("DEPLOY_FAILED", "UNHEALTHY"):
            raise BundleError(f"no replica starts: {_told(status)}")
        if clock() >= until_s:
            raise UsageError(
                f"no replica is ready after {format_duration(place.ready_s)}: {_shortage(options, status)}"
            )
        time.sleep(_LOOK_S)


def _told(status: Any) -> str:
    """Return what Serve says of a failure: of a traceback its last line, which is our sentence."""
    messages = [one.message for one in status.deployments.values() if one.message]
    lines = [line.strip() for line in "\n".join(messages or [status.message]).splitlines()]
    told = [line for line in lines if "Error: " in line]
    return told[-1].partition("Error: ")[2] if told else " ".join(filter(None, lines))


def _shortage(options: ClusterOptions, status: Any) -> str:
    free = ray.available_resources().get("CPU", 0.0)
    there = sum(node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"])
    said = (
        ""
        if status is None
        else " ".join(one.message for one in status.deployments.values() if one.message)
    )
    return (
        f"each of {options.min_replicas} takes CPUs: {options.cpus}, and the cluster has {there:g}, of which "
        f"{free:g} are free. {said}".strip()
        + " Add nodes, or ask for less."
    )


def _proxies(place: Place, until_s: float, clock: Callable[[], float]) -> list[str]:
    """Return the addresses at which proxies answer our methods, once one does."""
    while True:
        addresses = sorted(
            {f"{node['NodeManagerAddress']}:{place.port}" for node in ray.nodes() if node["Alive"]}
        )
        found = {address: _ask(address) for address in addresses}
        if serving := [address for address, why in found.items() if why is None]:
            return serving
        if clock() >= until_s:
            said = "; ".join(f"{address} says {why}" for address, why in found.items())
            raise UsageError(
                f"the replicas are there, and no proxy serves them: {said}. Serve may have been started "
                f"before, with another port or without our methods. End it with: serve shutdown; or start "
                f"it with grpc_servicer_functions of {ADD_METHODS}."
            )
        time.sleep(_LOOK_S)


def _ask(address: str) -> str | None:
    """Ask a proxy whether it is ready; return why not, None if it is."""
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            GRPCInferenceServiceStub(channel).ServerReady(oip.ServerReadyRequest(), timeout=_ASK_S)
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
    return None


def _last_line(error: BaseException) -> str:
    """Return what an error says that brings a traceback from elsewhere."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = lines[-1] if lines else type(error).__name__
    return (last.partition("Error: ")[2] or last).partition("; set GRPC_VERBOSITY")[0]


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
