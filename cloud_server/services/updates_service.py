"""The service by which devices learn of versions and fetch them, and by which roll-outs are steered."""

import asyncio
from collections.abc import AsyncIterator

import grpc

from cloud_server.models.model_store import ModelStore
from cloud_server.models.version import Version
from cloud_server.rollout.rollout import Rollout, RolloutState
from cloud_server.rollout.rollout_control import RolloutControl, Target
from cloud_server.security.guarded_models import Access
from partitioner.bundle.calibration import CALIBRATION_FILE
from partitioner.bundle.exits import EXITS_FILE
from partitioner.bundle.manifest import MANIFEST_FILE
from partitioner.common.units import plural
from protos import splitpoint_pb2 as sp
from protos.errors import UnknownNameError, UsageError
from protos.serving.callers import CALLER
from protos.serving.drain import Drain
from protos.serving.handlers import answers, unary

SERVICE = "splitpoint.v1.Updates"
PART_BYTES = 1 << 20
_LOOK_S = 2.0
"""After so long, what versions the server has is looked at again."""


class UpdatesService:
    """The methods of splitpoint.v1.Updates."""

    def __init__(
        self, store: ModelStore, control: RolloutControl, drain: Drain, access: Access
    ) -> None:
        self._store = store
        self._control = control
        self._drain = drain
        self._access = access

    async def watch_version(
        self, request: sp.WatchVersionRequest
    ) -> AsyncIterator[sp.WatchVersionResponse]:
        """Yield what the device is to run, first now and then with each change, until the server drains."""
        self._access.check(request.name)
        device, book = CALLER.get() or request.edge, self._control.book
        running = request.version_digest
        told: sp.WatchVersionResponse | None = None
        with self._drain.listener(book.wake):
            while not self._drain.started:
                revision = book.revision
                target = self._control.target(request.name, device, running)
                goes_on = target.version is None and told and told.version_digest == running
                if goes_on and told and not self._holds(request, device, running):
                    target = self._control.standing(request.name, running, told.reason)
                answer = self._offer(target)
                if told is None or _identity(answer) != _identity(told):
                    told = answer
                    running = told.version_digest or running  # it does what it was told
                    yield answer
                await book.change(revision, _LOOK_S)

    def _holds(self, request: sp.WatchVersionRequest, device: str, told: str) -> bool:
        """Tell whether a device that goes to the version `told` has to wait: moving to it is held.

        Who goes there as its own version is gone does not wait.
        """
        rollout = self._control.book.rollouts.get(request.name)
        if rollout is None or rollout.state is not RolloutState.HELD:
            return False
        before = self._control.target(request.name, device, request.version_digest)
        return before.version is None or before.version.digest != told

    async def fetch_part(self, request: sp.FetchPartRequest) -> sp.FetchPartResponse:
        """Return some bytes of a file of a version.

        Raises UnknownNameError for a version or a file that is not there, UsageError for bytes that are not.
        They come no faster than the caller may have them, and are read then: who waits holds no memory.
        """
        self._access.check(request.name)
        version = self._store.find_version(request.name, request.version_digest)
        if not request.version_digest or version.digest != request.version_digest:
            raise UsageError("a part is fetched of one version. Name it by its whole digest.")
        size_bytes = min(request.most_bytes or PART_BYTES, PART_BYTES)
        documents = _documents(version)
        if (content := documents.get(request.path)) is not None:
            await self._access.pace(min(size_bytes, max(0, len(content) - request.offset)))
            chunk = content[request.offset : request.offset + size_bytes]
            return sp.FetchPartResponse(chunk=chunk, file_bytes=len(content))
        file = version.bundle.manifest.files.get(request.path)
        if file is None:
            raise UnknownNameError(
                f"version {version.number} of {version.name} has no file {request.path!r}. Fetch those that "
                "its manifest names."
            )
        if request.offset > file.size_bytes:
            raise UsageError(
                f"{request.path} has {plural(file.size_bytes, 'byte')}, and those from {request.offset:,} on "
                "were asked for. Begin with the first."
            )
        wanted = min(size_bytes, file.size_bytes - request.offset)
        await self._access.pace(wanted)
        contents = version.bundle.contents
        chunk = await asyncio.to_thread(contents.read_part, request.path, request.offset, wanted)
        return sp.FetchPartResponse(chunk=chunk, file_bytes=file.size_bytes)

    async def list_rollouts(self, request: sp.ListRolloutsRequest) -> sp.ListRolloutsResponse:
        """Return all roll-outs, and how devices fare with them."""
        del request
        rollouts = self._control.book.rollouts.values()
        return sp.ListRolloutsResponse(rollouts=[self._message(one) for one in rollouts])

    async def steer_rollout(self, request: sp.SteerRolloutRequest) -> sp.SteerRolloutResponse:
        """Do what was asked for, and return the roll-out as it is then."""
        rollout = self._control.steer(request.name, request.action, request.version, request.share)
        return sp.SteerRolloutResponse(rollout=self._message(rollout))

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return what a server registers."""
        methods = {
            "WatchVersion": answers(
                self.watch_version, sp.WatchVersionRequest, sp.WatchVersionResponse
            ),
            "FetchPart": unary(self.fetch_part, sp.FetchPartRequest, sp.FetchPartResponse),
            "ListRollouts": unary(
                self.list_rollouts, sp.ListRolloutsRequest, sp.ListRolloutsResponse
            ),
            "SteerRollout": unary(
                self.steer_rollout, sp.SteerRolloutRequest, sp.SteerRolloutResponse
            ),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def _message(self, rollout: Rollout) -> sp.Rollout:
        uses = [
            self._use(rollout, rollout.version_digest, new=True),
            self._use(rollout, rollout.before_digest, new=False),
        ]
        plain = rollout.model_dump(mode="json", exclude={"offers", "again"})
        return sp.Rollout(**plain, uses=uses, warning=self._control.warning(rollout))

    def _use(self, rollout: Rollout, digest: str, *, new: bool) -> sp.VersionUse:
        use, version = (
            self._control.use(rollout, new=new),
            self._control.find(rollout.name, digest),
        )
        return sp.VersionUse(
            version_digest=digest,
            devices=use.devices,
            refused=use.refused,
            frames=use.frames,
            fallbacks=use.fallbacks,
            faults=use.faults,
            reasons=use.reasons,
            version=version.number if version else "",
            release=version.release if version else 0,
            folder=version.bundle.path.name if version else "",
        )

    def _offer(self, target: Target) -> sp.WatchVersionResponse:
        version = target.version
        if version is None:
            return sp.WatchVersionResponse()
        documents = _documents(version)
        beside = sum(map(len, documents.values()))
        return sp.WatchVersionResponse(
            version_digest=version.digest,
            bundle_digest=version.bundle.digest,
            documents=[name for name in documents if name != MANIFEST_FILE],
            size_bytes=version.bundle.size_bytes + beside,
            release=version.release,
            reason=target.reason,
            mark=self._control.mark(version),
        )


def _documents(version: Version) -> dict[str, bytes]:
    """Return the files of a version that its manifest does not name, and the manifest."""
    bundle = version.bundle
    found = {MANIFEST_FILE: bundle.documents[MANIFEST_FILE], **bundle.signature_documents}
    if bundle.calibration:
        found[CALIBRATION_FILE] = bundle.calibration.file
    if bundle.exits:
        found[EXITS_FILE] = bundle.exits.file
    return found


def _identity(offer: sp.WatchVersionResponse) -> tuple[str, str]:
    return offer.version_digest, offer.mark
