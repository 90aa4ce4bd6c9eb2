"""The control of roll-outs: what each is to run by the roll-outs and by what the server has."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from cloud_server.models.model_store import ModelStore
from cloud_server.models.version import Version
from cloud_server.rollout.rollout import Refusals, Rollout, RolloutState
from cloud_server.rollout.rollout_book import RolloutBook
from cloud_server.rollout.use_ledger import Key, UseLedger
from cloud_server.rollout.verdict import VersionUse, why_back
from partitioner.bundle.manifest import ROLLBACK_FILE
from partitioner.common.units import plural
from protos.errors import UsageError
from protos.rpc.printable import printable
from protos.telemetry import DIGEST_SHOWN, Telemetry

_MOST = 0.5
"""A share of the devices from which on most of them run a version."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """The version that a device is to run, and why; None: it goes on with its own."""

    version: Version | None = None
    reason: str = ""


class RolloutControl:
    """Answers what a device is to run, and carries out what whoever runs the server asks for."""

    def __init__(
        self,
        store: ModelStore,
        book: RolloutBook,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.book = book
        self._ledger, self._clock = UseLedger(), clock
        self._store = store
        for rollout in book.rollouts.values():
            if rollout.again:
                self._begin(rollout)

    def target(self, name: str, device: str, running: str) -> Target:
        """Return what a device is to run that runs the version `running` of a bundle.

        By the roll-out of the bundle, if there is one. Without, or where that does not touch the device, it
        goes on with its own version if the server has it, else it goes to the default. No version that the
        server lacks is ever offered.
        """
        there = {version.digest: version for version in self._store.versions.get(name, ())}
        rollout = self.book.rollouts.get(name)
        if rollout is not None:
            digest, reason = rollout.target(device, running)
            if digest in there:
                return Target(there[digest], reason)
        if running in there or not there:
            return Target()
        return Target(
            self._fallback(there, rollout), "the server does not have the version that ran"
        )

    def start(self, name: str, version: str, share: float) -> Rollout:
        """Begin a roll-out. Devices go back to where most are by the one before it, else to the newest other.

        Raises UnknownNameError for a version that is not there, UsageError where nothing could be gone back
        to.
        """
        wanted = self._store.find_version(name, version)
        known = self.book.rollouts.get(name)
        others = [one for one in self._store.versions[name] if one.digest != wanted.digest]
        if not others:
            raise UsageError(
                f"{wanted.number} is the only version of {name} at this server, so that devices would have "
                "nothing to go back to. Let it serve the version that they run, too."
            )
        before = others[0]
        if known is not None:  # where most devices are
            left = known.state is RolloutState.BACK or known.share < _MOST
            usual = known.before_digest if left else known.version_digest
            before = next((one for one in others if one.digest == usual), before)
        rollout = self.book.start(name, wanted.digest, before.digest, share)
        self._begin(rollout)
        return rollout

    def steer(self, name: str, action: str, version: str, share: float) -> Rollout:
        """Do what was asked for: start, share, hold, resume or back. Raises UsageError for any other word."""
        if action == "start":
            return self.start(name, version, share)
        if action == "share":
            return self.book.share(name, share)
        states = {
            "hold": (RolloutState.HELD, "by command"),
            "resume": (RolloutState.RUNNING, ""),
            "back": (RolloutState.BACK, "by command"),
        }
        if action not in states:
            raise UsageError(
                f"{action!r} cannot be done with a roll-out. It is one of: start, share, hold, resume, back."
            )
        before = self.book.find(name)
        refusals = self._refusals(before) if action == "back" else ()
        rollout = self.book.set_state(name, *states[action], refusals)
        if rollout.again != before.again:
            self._begin(rollout)
        return rollout

    def standing(self, name: str, told: str, reason: str) -> Target:
        """Return what a device that was told to run `told` goes on to; None where the server lacks it."""
        there = {version.digest: version for version in self._store.versions.get(name, ())}
        return Target(there.get(told), reason)

    def mark(self, version: Version) -> str:
        """Return what tells this offer of a version from an earlier one.

        It changes when somebody says again how its roll-out goes on, and with the permission beside it.
        """
        rollout = self.book.rollouts.get(version.name)
        permission = version.bundle.documents.get(ROLLBACK_FILE, b"")
        known = hashlib.sha256(permission).hexdigest()[:DIGEST_SHOWN] if permission else "none"
        return f"{rollout.offers if rollout else 0}/{known}"

    def warning(self, rollout: Rollout) -> str:
        """Return why devices cannot go where they are told to, and what to do; empty: they can."""
        left = self.find(rollout.name, rollout.version_digest)
        goal = self.find(rollout.name, rollout.before_digest)
        if rollout.state is not RolloutState.BACK:
            left, goal = goal, left
        if goal is None or left is None:
            return ""
        if not 0 < goal.release < left.release or ROLLBACK_FILE in goal.bundle.documents:
            return ""
        return (
            f"devices that ran release {left.release} of {rollout.name} take release {goal.release} "
            f"with a signed permission alone, and there is none in {goal.bundle.path}. Make one: "
            f"splitpoint permit-rollback {rollout.name} --to-release {goal.release} "
            f"--from-release {left.release} --key FILE --out {goal.bundle.path / ROLLBACK_FILE}. "
            f"It is offered at once then. If it is newer, sign it again with a release above {left.release}."
        )

    def hear(self, snapshots: Sequence[Telemetry]) -> None:
        """Take what devices tell, each one's oldest first; roll back what they fare worse with by now."""
        self._ledger.take(snapshots, self._clock(), self._is_known)
        for name, rollout in self.book.rollouts.items():
            if rollout.state is RolloutState.BACK:
                continue
            new, before = (
                digest[:DIGEST_SHOWN] for digest in (rollout.version_digest, rollout.before_digest)
            )
            uses = self._ledger.since(name, new), self._ledger.use(name, before)
            if why := why_back(*uses, self._ledger.beside(name, new, before)):
                refusals = self._refusals(rollout)
                _log.error(
                    "%s of %s is rolled back: %s%s",
                    rollout.version_digest[:12], name, why, _told(refusals),
                )  # fmt: skip
                if warning := self.warning(self.book.roll_back(name, why, refusals)):
                    _log.warning("%s", warning)

    def use(self, rollout: Rollout, *, new: bool) -> VersionUse:
        """Return what devices have told of a roll-out's version, or of the one before."""
        digest = rollout.version_digest if new else rollout.before_digest
        return self._ledger.use(rollout.name, digest[:DIGEST_SHOWN])

    def _refusals(self, rollout: Rollout) -> tuple[Refusals, ...]:
        """Return why devices refuse a roll-out's version since it began."""
        told = self._ledger.refusals(rollout.name, rollout.version_digest[:DIGEST_SHOWN])
        return tuple(Refusals(reason=reason, devices=count) for reason, count in told)

    def find(self, name: str, digest: str) -> Version | None:
        """Return a version of a bundle by its digest; None where the server lacks it."""
        versions = self._store.versions.get(name, ())
        return next((one for one in versions if one.digest == digest), None)

    def _begin(self, rollout: Rollout) -> None:
        digest = rollout.version_digest[:DIGEST_SHOWN]
        self._ledger.begin(rollout.name, digest, again=rollout.again > 0)

    def _is_known(self, key: Key) -> bool:
        """Tell whether a version is one of this server, or of a roll-out."""
        name, digest = key
        rollout = self.book.rollouts.get(name)
        if rollout and digest in (
            rollout.version_digest[:DIGEST_SHOWN],
            rollout.before_digest[:DIGEST_SHOWN],
        ):
            return True
        versions = self._store.versions.get(name, ())
        return any(one.digest[:DIGEST_SHOWN] == digest for one in versions)

    def _fallback(self, there: dict[str, Version], rollout: Rollout | None) -> Version:
        """Return what a device runs whose version is gone: not what is rolled out to others, if possible."""
        default = next(iter(there.values()))
        if rollout is None:
            return default
        return there.get(rollout.before_digest, default)


def _told(refusals: Sequence[Refusals]) -> str:
    """Return why devices refused a version, for the log: these words are theirs."""
    told = (f"{plural(one.devices, 'device')}: {printable(one.reason)}" for one in refusals)
    return f". Refused by {'; by '.join(told)}" if refusals else ""
