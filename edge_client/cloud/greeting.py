"""The greeting: ask a server for its version and limits, and compare bundles and calibrations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from edge_client.cloud.plain.plain_server import PlainServer, find_models
from edge_client.cloud.unary_call import ask
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import CALIBRATION_FILE
from protos.errors import (
    CalibrationError,
    FaultError,
    MismatchError,
    UnknownNameError,
)
from protos.rpc.calls import translate
from protos.rpc.endpoints import Endpoint
from protos.rpc.message_limits import DEFAULT_MAX_MESSAGE_BYTES, LEAST_MESSAGE_BYTES
from protos.splitpoint_pb2 import (
    GetServerInfoRequest,
    GetServerInfoResponse,
    ListBundlesRequest,
    ListBundlesResponse,
    ReportTelemetryRequest,
    ReportTelemetryResponse,
)

_REPORT_S = 3.0

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class ServerInfo:
    """A server's answer to the greeting. `version` is empty for a standard OIP server, which gives none."""

    version: str
    max_message_bytes: int
    workers: int
    calibration: str | None = None
    """The digest of its calibration of the bundle, empty if it has none; None: it does not say."""
    plain: PlainServer | None = None
    """What a standard server serves of the bundle; None for one of ours, and where that cannot be asked."""

    @property
    def probes(self) -> bool:
        """True if it answers probes of the link."""
        return bool(self.version) or self.plain is not None


async def greet(
    channel: grpc.aio.Channel, server: Endpoint, bundle: Bundle, timeout_s: float
) -> ServerInfo:
    """Ask the server who it is and compare bundles; a standard one, which models it has.

    Raises UnreachableError when no server answers, UnknownNameError when the server lacks the bundle,
    MismatchError when it has another one of that name, and FaultError when it answers nonsense.
    """

    async def known(method: str, request: Message, answer: type[M]) -> M | None:
        """Return the answer; None from a server that does not know the method."""
        try:
            return await ask(channel, server, method, request, answer, timeout_s)
        except grpc.aio.AioRpcError as failure:
            if failure.code() is grpc.StatusCode.UNIMPLEMENTED:
                return None
            raise translate(failure, server) from failure

    info = await known("GetServerInfo", GetServerInfoRequest(), GetServerInfoResponse)
    held = ListBundlesRequest(held_name=bundle.name, held_digest=bundle.digest)
    offered = await known("ListBundles", held, ListBundlesResponse)
    if info is None and offered is None:
        plain = await find_models(channel, server, bundle, timeout_s)
        return ServerInfo("", DEFAULT_MAX_MESSAGE_BYTES, 0, plain=plain)
    if info is None or offered is None or info.max_message_bytes < LEAST_MESSAGE_BYTES:
        raise FaultError(
            f"the greeting of {server} makes no sense: it was damaged on its way, or the server is no "
            "Splitpoint of ours. Try again."
        )
    entry = check_bundle(offered, server.address, bundle)
    return ServerInfo(info.version, info.max_message_bytes, info.workers, entry.calibration_digest)


async def report_telemetry(
    channel: grpc.aio.Channel, server: Endpoint, snapshots: Sequence[str]
) -> None:
    """Send what was observed; raises UnreachableError, or what the server refuses it with."""
    request = ReportTelemetryRequest(snapshots_json=snapshots)
    try:
        await ask(channel, server, "ReportTelemetry", request, ReportTelemetryResponse, _REPORT_S)
    except FaultError:
        pass  # the answer was damaged on its way, but it says nothing, and the report has arrived
    except grpc.aio.AioRpcError as failure:
        raise translate(failure, server) from failure


def check_bundle(
    offered: ListBundlesResponse, address: str, bundle: Bundle
) -> ListBundlesResponse.Entry:
    """Return what the server says of this bundle, of several versions of this very one.

    Raises unless it has this one: UnknownNameError without any of that name, MismatchError with others.
    """
    found = [entry for entry in offered.bundles if entry.name == bundle.name]
    if not found:
        there = ", ".join(dict.fromkeys(entry.name for entry in offered.bundles))
        raise UnknownNameError(
            f"the server at {address} has no bundle {bundle.name!r} for this device. "
            f"It has: {there or 'none'}. Put the bundle into its --bundles folder; or let this device use "
            "it, where devices are held to some models; or run with one of these."
        )
    same = [entry for entry in found if entry.digest == bundle.digest]
    if not same:
        theirs = ", ".join(f"{entry.digest[:12]}…" for entry in found)
        raise MismatchError(
            f"the server at {address} has another bundle {bundle.name!r} than this edge: "
            f"{theirs} there, {bundle.digest[:12]}… here ({bundle.path}). Copy one to the other "
            f"side, with: {_fetching(bundle, address)}."
        )
    calibrated = [one for one in same if one.calibration_digest == bundle.calibration_digest]
    return (calibrated or same)[0]


def check_calibration(theirs: str, address: str, bundle: Bundle) -> None:
    """Raise CalibrationError if this bundle has a calibration, and the server's is another one, or none."""
    ours = bundle.calibration_digest
    if ours and theirs != ours:
        there = f"{theirs[:12]}… there" if theirs else "none there"
        raise CalibrationError(
            f"the server at {address} has another calibration of {bundle.name!r} than this edge: {there}, "
            f"{ours[:12]}… here. Low-bit codecs are not used until both have the same: fetch the server's, "
            f"with: {_fetching(bundle, address)}; or copy "
            f"{bundle.path / CALIBRATION_FILE} into the server's bundle."
        )


def _fetching(bundle: Bundle, address: str) -> str:
    """Return the command that replaces this bundle by the server's."""
    held = f" --heads-only --cuts {','.join(bundle.held.cuts)}" if bundle.held else ""
    return (
        f"splitpoint-edge fetch {bundle.name} --cloud {address} --out {bundle.path} --force{held}"
    )
