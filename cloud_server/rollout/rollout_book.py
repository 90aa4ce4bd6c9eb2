"""The book of roll-outs: kept on the disk over restarts, and those who wait hear of each change."""

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from cloud_server.rollout.rollout import Refusals, Rollout, RolloutState
from partitioner.common.faults import first_fault
from partitioner.common.files import read_document, whole_file
from partitioner.common.frozen_model import FrozenModel
from protos.errors import FileError, UnknownNameError, UsageError, reason

_MAX_BYTES = 4 << 20

_log = logging.getLogger(__name__)


class _Document(FrozenModel):
    schema_version: Literal[1] = 1
    rollouts: dict[str, Rollout] = Field(default_factory=dict)


class RolloutBook:
    """One roll-out a bundle, by its name. Used from one event loop. `path`: the file that keeps them."""

    def __init__(self, path: Path) -> None:
        """Raises FileError where the file cannot be read, or is damaged."""
        self.path = path
        self._rollouts = _read(path)
        self._changed = asyncio.Event()
        self.revision = 0
        """Grows with each change."""

    @property
    def rollouts(self) -> Mapping[str, Rollout]:
        """All roll-outs, by the names of their bundles."""
        return self._rollouts

    def find(self, name: str) -> Rollout:
        """Return the roll-out of a bundle; UnknownNameError without one."""
        if name not in self._rollouts:
            known = ", ".join(self._rollouts) or "none"
            raise UnknownNameError(
                f"no version of {name!r} is rolled out. Roll-outs are of: {known}. Begin one: "
                f"splitpoint-cloud rollout start {name} VERSION --share 10%."
            )
        return self._rollouts[name]

    def start(self, name: str, version_digest: str, before_digest: str, share: float) -> Rollout:
        """Roll a version out to a share of the devices; it takes the place of the roll-out before.

        Raises FileError when that cannot be kept; nothing has changed then, here and below.
        """
        _check_share(share)
        known = self._rollouts.get(name)
        is_same = known is not None and known.version_digest == version_digest
        rollout = Rollout(
            name=name,
            version_digest=version_digest,
            before_digest=before_digest,
            share=share,
            offers=known.offers + is_same if known else 0,
            again=known.again + 1 if known and is_same else 0,
        )
        return self._keep(rollout)

    def share(self, name: str, share: float) -> Rollout:
        """Give the version to another share of the devices."""
        _check_share(share)
        return self._keep(self.find(name).model_copy(update={"share": share}))

    def set_state(
        self, name: str, state: RolloutState, reason: str, refusals: Sequence[Refusals] = ()
    ) -> Rollout:
        """Hold a roll-out, let it go on, or roll it back; said again, devices are offered it anew.

        One that was rolled back begins again when it goes on. Of one that is rolled back, why devices have
        refused the version is kept, too: they tell of it no more when they have gone back.
        """
        known = self.find(name)
        if state is RolloutState.BACK is known.state and not refusals:
            refusals = known.refusals
        new = {
            "state": state,
            "reason": reason,
            "refusals": tuple(refusals),
            "offers": known.offers + (known.state is state),
            "again": known.again + (known.state is RolloutState.BACK and state is not known.state),
        }
        return self._keep(known.model_copy(update=new))

    def roll_back(self, name: str, reason: str, refusals: Sequence[Refusals] = ()) -> Rollout:
        """Roll a bad version back; where the disk refuses to keep that, it holds until a restart."""
        back = {"state": RolloutState.BACK, "reason": reason, "refusals": tuple(refusals)}
        rollout = self.find(name).model_copy(update=back)
        try:
            return self._keep(rollout)
        except FileError as error:
            _log.error("that %s is rolled back holds until a restart: %s", name, error)
            return self._change(rollout)

    async def change(self, since: int, timeout_s: float) -> None:
        """Wait for the first change after the revision `since`, and at most for so long."""
        if self.revision != since:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return

    def _keep(self, rollout: Rollout) -> Rollout:
        rollouts = {**self._rollouts, rollout.name: rollout}
        with whole_file(self.path) as partial, partial.open("wb") as file:
            file.write(_Document(rollouts=rollouts).model_dump_json(indent=1).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())  # a power cut must not leave a book that is none
        return self._change(rollout)

    def _change(self, rollout: Rollout) -> Rollout:
        self._rollouts = {**self._rollouts, rollout.name: rollout}
        self.wake()
        _log.info(
            "version %s of %s is rolled out to %.0f %% of the devices: %s%s",
            rollout.version_digest[:12], rollout.name, 100 * rollout.share, rollout.state,
            f" ({rollout.reason})" if rollout.reason else "",
        )  # fmt: skip
        return rollout

    def wake(self) -> None:
        """Let all who wait look again."""
        self.revision += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _check_share(share: float) -> None:
    if not 0 <= share <= 1:
        raise UsageError(f"a share of {share:g} is none. Give 0 to 1, or 0% to 100%.")


def _read(path: Path) -> dict[str, Rollout]:
    try:
        return dict(_Document.model_validate_json(read_document(path, _MAX_BYTES)).rollouts)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise FileError(
            f"the server's roll-outs in {path} cannot be read: {reason(error)}. Let this user read and write "
            "it, or give another file as `rollouts`."
        ) from error
    except ValueError as error:
        why = first_fault(error) if isinstance(error, ValidationError) else error
        raise FileError(
            f"the server's roll-outs in {path} are damaged: {why}. Restore the file, or remove it to begin "
            "with none."
        ) from error
