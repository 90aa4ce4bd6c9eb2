"""The keeper of a client's versions: it brings together what updates need of the client and of its cloud."""

import asyncio
import contextlib
import logging
import socket
from functools import partial
from pathlib import Path
from typing import Generic

from edge_client.client.live_version import CommonParts
from edge_client.client.options import ClientOptions
from edge_client.cloud.transport import GrpcTransport
from edge_client.updates.cloud_versions import CloudVersions
from edge_client.updates.host import C, Host
from edge_client.updates.offer import VersionOffer
from edge_client.updates.pace import DownloadPace
from edge_client.updates.shelf import VersionShelf
from edge_client.updates.updater import Updater
from edge_client.updates.version_download import FilePart, VersionDownload
from partitioner.bundle.bundle import Bundle
from protos.errors import BundleError, FileError, MismatchError

_AGAIN_S = 60.0

_log = logging.getLogger(__name__)


class VersionKeeper(Generic[C]):
    """Learns of versions, fetches, loads and keeps them, for one client. `host`: the client."""

    def __init__(
        self,
        host: Host[C],
        options: ClientOptions,
        transport: GrpcTransport,
        common: CommonParts,
    ) -> None:
        bundle = host.version.bundle
        self._host = host
        self._options = options
        self._transport = transport
        self._learned = common.learned
        self._task: asyncio.Task[None] | None = None
        self.shelf = VersionShelf(Path(bundle.path))
        self.cloud = CloudVersions(
            transport,
            options.edge_name or socket.gethostname(),
            bundle.name,
            lambda: host.version.bundle.version_digest,
        )
        self.updater = Updater(
            host,
            self.shelf,
            self.download,
            self.load,
            mode="hold" if options.updates == "hold" else "auto",
            trial_frames=options.update_trial,
            on_state=common.on_update,
            on_kept=options.device_trust.remember,
        )

    def begin(self) -> None:
        """Learn of versions from now on."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Learn of no more versions."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(FileError):
            await self.updater.close()

    async def _run(self) -> None:
        """Follow offers until cancelled; what fails by a bug must not leave this device without updates."""
        told = ""
        while True:
            try:
                with self.shelf.alone():
                    await self.updater.run(self.cloud.offers)
            except FileError as error:
                _log.log(logging.DEBUG if told == str(error) else logging.WARNING, "%s", error)
                told = str(error)
                await asyncio.sleep(_AGAIN_S)
            except Exception:  # noqa: BLE001 - as it says
                _log.exception("updates have failed, and go on in %.0f s", _AGAIN_S)
                await asyncio.sleep(_AGAIN_S)

    @property
    def is_busy(self) -> bool:
        """True while a frame uses the link."""
        return self._transport.is_busy

    def shared(self, since_s: float, until_s: float) -> None:
        """Note that a download has used the link."""
        self._learned.shared_link(since_s, until_s)

    async def download(self, offer: VersionOffer) -> None:
        """Bring a version onto the shelf; see VersionDownload.run."""
        source = _Source(self.cloud, offer.version_digest)
        beside, pace = self._host.version.bundle, DownloadPace(self._options.update_rate_bps)
        await VersionDownload(offer, source, self.shelf, beside, self, pace).run()

    def load(self, offer: VersionOffer) -> Bundle:
        """Return a version from the shelf, byte for byte what was offered.

        Raises FileError where it is damaged, which it was not when it came: it is let go of then.
        """
        try:
            bundle = Bundle.load(self.shelf.ready(offer.version_digest))
            found = bundle.version_digest
        except BundleError as error:
            self.shelf.clear()
            raise FileError(f"what was fetched has been damaged since: {error}") from error
        if found != offer.version_digest:
            self.shelf.clear()
            raise MismatchError(
                f"{bundle.path} has become version {found[:12]}…, and {offer.version_digest[:12]}… was "
                "offered. It is fetched again."
            )
        return bundle


class _Source:
    """The files of one version at the cloud."""

    def __init__(self, cloud: CloudVersions, digest: str) -> None:
        self._fetch = partial(cloud.fetch, digest)

    async def fetch(self, path: str, offset: int, most_bytes: int) -> FilePart:
        return await self._fetch(path, offset, most_bytes)
