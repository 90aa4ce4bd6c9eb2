"""The service splitpoint.v1: bundles, profiles, probing the link, telemetry."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace

import grpc

from cloud_server.engine_options import available_cores
from cloud_server.models.model_store import ModelStore
from cloud_server.models.version import Version
from cloud_server.observability.edge_book import EdgeBook
from cloud_server.observability.greeting_book import GreetingBook
from cloud_server.security.guarded_models import Access
from cloud_server.services.profile_meter import ProfileMeter
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.calibration import CALIBRATION_FILE
from partitioner.bundle.contents import Contents
from partitioner.bundle.exits import EXITS_FILE
from partitioner.bundle.heads import Held
from partitioner.bundle.manifest import MANIFEST_FILE, WEIGHTS_FILE
from partitioner.bundle.weights_map import ByteRange
from partitioner.common.defaults import DEFAULT_BUDGET_S
from partitioner.common.units import plural
from partitioner.profiles.machine import machine_of
from partitioner.runtime.sessions import RuntimeOptions
from protos import splitpoint_pb2 as sp
from protos.errors import UsageError
from protos.serving.callers import CALLER
from protos.serving.handlers import answers, unary
from protos.serving.inference import splitpoint_version

SERVICE = "splitpoint.v1.Splitpoint"
CHUNK_BYTES = 1 << 20
LONGEST_BUDGET_S = 600.0
_FRAMING_BYTES = 64


class SplitpointService:
    """The methods of splitpoint.v1, for which the Open Inference Protocol has none."""

    def __init__(
        self,
        store: ModelStore,
        meter: ProfileMeter,
        workers: int,
        max_message_bytes: int,
        options: RuntimeOptions,
        edges: EdgeBook,
        greetings: GreetingBook,
        access: Access,
    ) -> None:
        self._store = store
        self._meter = meter
        self._workers = workers
        self._max_message_bytes = max_message_bytes
        self._options = options
        self._edges = edges
        self._greetings = greetings
        self._access = access

    async def get_server_info(self, request: sp.GetServerInfoRequest) -> sp.GetServerInfoResponse:
        """Version and limits."""
        del request
        return sp.GetServerInfoResponse(
            version=splitpoint_version(),
            max_message_bytes=self._max_message_bytes,
            workers=self._workers,
            machine_json=machine_of(self._options).model_dump_json(),
        )

    async def list_bundles(self, request: sp.ListBundlesRequest) -> sp.ListBundlesResponse:
        """Return names, digests, sizes and cuts of all versions of all bundles that the caller may use.

        One that says which bundle it holds is an edge that greets, and is counted by what it finds.
        """
        usable = {
            name: versions
            for name, versions in self._store.versions.items()
            if self._access.allows(name)
        }
        if request.held_name:
            there = {
                name: {version.bundle.digest for version in versions}
                for name, versions in usable.items()
            }
            self._greetings.note(request.held_name, request.held_digest, there)
        return sp.ListBundlesResponse(
            bundles=[
                _entry(version, is_default=version is versions[0])
                for versions in usable.values()
                for version in versions
            ]
        )

    async def fetch_bundle(
        self, request: sp.FetchBundleRequest
    ) -> AsyncIterator[sp.FetchBundleResponse]:
        """Yield the bundle's files in chunks, or of them what some heads need, and the manifest last.

        Calibration, exits and signature come before it, if they are asked for. No faster than the caller may.
        """
        self._access.check(request.name)
        bundle = self._store.find_bundle(request.name, request.version)
        async for message in self._chunks(bundle, request):
            await self._access.pace(len(message.chunk))
            yield message

    async def _chunks(
        self, bundle: Bundle, request: sp.FetchBundleRequest
    ) -> AsyncIterator[sp.FetchBundleResponse]:
        held = Held.of(bundle.manifest, request.heads_of) if request.heads_of else None
        files = held.files(bundle.manifest) if held else bundle.manifest.files
        for name, file in files.items():
            async for chunk in _file(bundle.contents, name, file.size_bytes):
                yield chunk
        beside: dict[str, bytes] = {}
        if request.with_calibration and bundle.calibration:
            beside[CALIBRATION_FILE] = bundle.calibration.file
        if request.with_exits and bundle.exits:
            beside[EXITS_FILE] = bundle.exits.file
        if held:
            parts = held.parts(bundle.contents, bundle.manifest)
            async for chunk in _parts(bundle.contents, WEIGHTS_FILE, parts):
                yield chunk
        if request.with_signature:
            beside.update(bundle.signature_documents)
        beside[MANIFEST_FILE] = bundle.documents[MANIFEST_FILE]
        for name, content in beside.items():
            for chunk in _pieces(name, content):
                yield chunk

    async def measure_profile(
        self, request: sp.MeasureProfileRequest
    ) -> AsyncIterator[sp.MeasureProfileResponse]:
        """Yield progress, then the profile of this machine."""
        self._access.check(request.name)
        bundle = self._store.find_held(
            request.name, request.bundle_digest, request.version_digest
        ).bundle
        budget_s = request.budget_s or DEFAULT_BUDGET_S
        if not 0 < budget_s <= LONGEST_BUDGET_S:
            raise UsageError(
                f"a budget of {budget_s:g} s cannot be measured in. "
                f"Give more than 0 and at most {LONGEST_BUDGET_S:g} s."
            )
        if request.threads > (cores := available_cores()):
            raise UsageError(
                f"this server has {plural(cores, 'core')}, and {plural(request.threads, 'thread')} would "
                "need more. Ask for fewer, or for none to get those that it serves with."
            )
        options = replace(self._options, threads=request.threads or self._options.threads)
        async for step in self._meter.measure(bundle, options, budget_s):
            yield step

    async def probe(self, request: sp.ProbeRequest) -> sp.ProbeResponse:
        """Return as many bytes as asked for; see answer_probe."""
        return await answer_probe(request, self._max_message_bytes, self._access)

    async def report_telemetry(
        self, request: sp.ReportTelemetryRequest
    ) -> sp.ReportTelemetryResponse:
        """Take what an edge has seen of bundles that it may use; all of it or nothing."""
        await self._edges.take(request.snapshots_json, CALLER.get(), self._access.check)
        return sp.ReportTelemetryResponse()

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return what a server registers."""
        methods = {
            "GetServerInfo": unary(
                self.get_server_info, sp.GetServerInfoRequest, sp.GetServerInfoResponse
            ),
            "ListBundles": unary(self.list_bundles, sp.ListBundlesRequest, sp.ListBundlesResponse),
            "FetchBundle": answers(
                self.fetch_bundle, sp.FetchBundleRequest, sp.FetchBundleResponse
            ),
            "MeasureProfile": answers(
                self.measure_profile, sp.MeasureProfileRequest, sp.MeasureProfileResponse
            ),
            "Probe": unary(self.probe, sp.ProbeRequest, sp.ProbeResponse),
            "ReportTelemetry": unary(
                self.report_telemetry, sp.ReportTelemetryRequest, sp.ReportTelemetryResponse
            ),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)


async def answer_probe(
    request: sp.ProbeRequest, max_message_bytes: int, access: Access
) -> sp.ProbeResponse:
    """Return as many bytes as a probe asks for, at most as fit a message of the server's limit.

    No faster than its caller may download.
    """
    await access.pace(len(request.payload) + request.reply_bytes)
    started_ns = time.perf_counter_ns()
    size = min(request.reply_bytes, max_message_bytes - _FRAMING_BYTES)
    answer = sp.ProbeResponse(payload=bytes(size))
    answer.server_ns = time.perf_counter_ns() - started_ns
    return answer


def probe_handlers(max_message_bytes: int, access: Access) -> grpc.GenericRpcHandler:
    """Return the handler of probes alone, for a process that has no other method of the service."""

    async def probe(request: sp.ProbeRequest) -> sp.ProbeResponse:
        return await answer_probe(request, max_message_bytes, access)

    method = unary(probe, sp.ProbeRequest, sp.ProbeResponse)
    return grpc.method_handlers_generic_handler(SERVICE, {"Probe": method})


def _entry(version: Version, *, is_default: bool) -> sp.ListBundlesResponse.Entry:
    bundle = version.bundle
    return sp.ListBundlesResponse.Entry(
        name=bundle.name,
        digest=bundle.digest,
        size_bytes=bundle.size_bytes,
        cuts=list(bundle.cuts),
        calibration_digest=bundle.calibration_digest,
        calibration_bytes=len(bundle.calibration.file) if bundle.calibration else 0,
        exits_digest=bundle.exits.digest if bundle.exits else "",
        exits_bytes=len(bundle.exits.file) if bundle.exits else 0,
        signature_bytes=sum(map(len, bundle.signature_documents.values())),
        version=version.number,
        version_digest=version.digest,
        is_default=is_default,
    )


async def _file(
    contents: Contents, name: str, size_bytes: int
) -> AsyncIterator[sp.FetchBundleResponse]:
    """Yield a file in chunks; BundleError when it was written to since it was checked."""
    # An empty file is one empty chunk, so that the caller hears of it.
    for start in range(0, max(size_bytes, 1), CHUNK_BYTES):
        wanted = min(CHUNK_BYTES, size_bytes - start)
        chunk = await asyncio.to_thread(contents.read_part, name, start, wanted)
        yield sp.FetchBundleResponse(path=name, size_bytes=size_bytes, chunk=chunk)


async def _parts(
    contents: Contents, name: str, parts: Sequence[ByteRange]
) -> AsyncIterator[sp.FetchBundleResponse]:
    """Yield parts of a file in chunks, which say what they skip; BundleError as for a whole file."""
    sent = 0
    for one in parts:
        for start in range(one.offset, one.end, CHUNK_BYTES):
            wanted = min(CHUNK_BYTES, one.end - start)
            chunk = await asyncio.to_thread(contents.read_part, name, start, wanted)
            yield sp.FetchBundleResponse(
                path=name, size_bytes=parts[-1].end, chunk=chunk, skipped_bytes=start - sent
            )
            sent = start + wanted


def _pieces(name: str, content: bytes) -> Iterator[sp.FetchBundleResponse]:
    for start in range(0, max(len(content), 1), CHUNK_BYTES):
        chunk = content[start : start + CHUNK_BYTES]
        yield sp.FetchBundleResponse(path=name, size_bytes=len(content), chunk=chunk)
