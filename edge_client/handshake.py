"""The first words with a server: who it is, what it takes, and whether its bundle is ours."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
import grpc.aio

from partitioner.bundle import Bundle
from partitioner.calibration import CALIBRATION_FILE
from partitioner.remote import translate
from protos.channels import DEFAULT_MAX_MESSAGE_BYTES
from protos.errors import MismatchError, UnknownNameError, UnreachableError
from protos.splitpoint_pb2 import (
    GetServerInfoRequest,
    GetServerInfoResponse,
    ListBundlesRequest,
    ListBundlesResponse,
    ReportTelemetryRequest,
    ReportTelemetryResponse,
)

SERVICE = "/splitpoint.v1.Splitpoint/"
_REPORT_S = 3.0


@dataclass(frozen=True)
class ServerInfo:
    """What a server says of itself. `version` is empty for a standard OIP server, which says nothing."""

    version: str
    max_message_bytes: int
    workers: int
    calibration: str | None = None
    """The digest of its calibration of the bundle, empty if it has none; None: it does not say."""

    @property
    def probes(self) -> bool:
        """True if it answers probes of the link."""
        return bool(self.version)


async def greet(
    channel: grpc.aio.Channel, address: str, bundle: Bundle, timeout_s: float
) -> ServerInfo:
    """Ask the server who it is and compare bundles.

    Raises UnreachableError when nobody is there, UnknownNameError when the server lacks the bundle,
    and MismatchError when it has another one of that name.
    """
    info_of = channel.unary_unary(
        SERVICE + "GetServerInfo",
        request_serializer=GetServerInfoRequest.SerializeToString,
        response_deserializer=GetServerInfoResponse.FromString,
    )
    bundles_of = channel.unary_unary(
        SERVICE + "ListBundles",
        request_serializer=ListBundlesRequest.SerializeToString,
        response_deserializer=ListBundlesResponse.FromString,
    )
    try:
        with closed_told(address):
            info = await info_of(GetServerInfoRequest(), timeout=timeout_s)
            offered = await bundles_of(ListBundlesRequest(), timeout=timeout_s)
    except grpc.aio.AioRpcError as failure:
        if failure.code() is grpc.StatusCode.UNIMPLEMENTED:
            return ServerInfo("", DEFAULT_MAX_MESSAGE_BYTES, 0)
        raise translate(failure, address) from failure
    entry = check_bundle(offered, address, bundle)
    return ServerInfo(info.version, info.max_message_bytes, info.workers, entry.calibration_digest)


async def report_telemetry(
    channel: grpc.aio.Channel, address: str, snapshots: Sequence[str]
) -> None:
    """Send what was observed; raises UnreachableError, or what the server refuses it with."""
    report = channel.unary_unary(
        SERVICE + "ReportTelemetry",
        request_serializer=ReportTelemetryRequest.SerializeToString,
        response_deserializer=ReportTelemetryResponse.FromString,
    )
    try:
        with closed_told(address):
            await report(ReportTelemetryRequest(snapshots_json=snapshots), timeout=_REPORT_S)
    except grpc.aio.AioRpcError as failure:
        raise translate(failure, address) from failure


@contextmanager
def closed_told(address: str) -> Iterator[None]:
    """Raise UnreachableError when the channel of a call is closed under it, or was so before.

    gRPC tells the first by CancelledError: only who was told to stop himself passes that on.
    """
    try:
        yield
    except grpc.aio.UsageError as error:
        raise UnreachableError(f"the connection to {address} is closed.") from error
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is None or task.cancelling():
            raise
        raise UnreachableError(f"the connection to {address} was closed.") from None


def check_bundle(
    offered: ListBundlesResponse, address: str, bundle: Bundle
) -> ListBundlesResponse.Entry:
    """Return what the server says of this bundle; raises unless it is exactly the same."""
    found = {entry.name: entry for entry in offered.bundles}
    if bundle.name not in found:
        raise UnknownNameError(
            f"the server at {address} has no bundle {bundle.name!r}. "
            f"It has: {', '.join(found) or 'none'}. "
            "Put the bundle into its --bundles folder, or run with one of these."
        )
    theirs = found[bundle.name].digest
    if theirs != bundle.digest:
        raise MismatchError(
            f"the server at {address} has another bundle {bundle.name!r} than this edge: "
            f"{theirs[:12]}… there, {bundle.digest[:12]}… here ({bundle.path}). Copy one to the other "
            f"side, with: splitpoint-edge fetch {bundle.name} --cloud {address} --out BUNDLE."
        )
    return found[bundle.name]


def check_calibration(theirs: str, address: str, bundle: Bundle) -> None:
    """Raise MismatchError if this bundle has a calibration, and the server's is another one, or none."""
    ours = bundle.ranges.digest if bundle.ranges else ""
    if ours and theirs != ours:
        there = f"{theirs[:12]}… there" if theirs else "none there"
        raise MismatchError(
            f"the server at {address} has another calibration of {bundle.name!r} than this edge: {there}, "
            f"{ours[:12]}… here. Low-bit codecs are not used until both have the same: fetch the server's, "
            f"with: splitpoint-edge fetch {bundle.name} --cloud {address} --out BUNDLE; or copy "
            f"{bundle.path / CALIBRATION_FILE} there and restart the server."
        )
