"""`serving.toml`, in a bundle's folder on the server: how its tails are batched there, in Triton's words."""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError

from cloud_server.engine.batch_rules import BatchRules, QueuePolicy, TimeoutAction
from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import SERVING_FILE
from partitioner.common.faults import first_fault
from protos.errors import BundleError, UsageError, reason
from protos.names import EDGE

R = TypeVar("R", QueuePolicy, BatchRules)

_MOST_BYTES = 1 << 20


class _Table(BaseModel):
    """A table of the file; what it leaves out stays as it was."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _QueuePolicy(_Table):
    timeout_action: Literal["REJECT", "DELAY"] | None = None
    default_timeout_microseconds: NonNegativeInt | None = None
    allow_timeout_override: bool | None = None
    max_queue_size: NonNegativeInt | None = None

    def over(self, before: QueuePolicy) -> QueuePolicy:
        action = self.timeout_action and TimeoutAction(self.timeout_action.lower())
        return _replaced(
            before,
            timeout_action=action,
            default_timeout_us=self.default_timeout_microseconds,
            allow_timeout_override=self.allow_timeout_override,
            max_queue_size=self.max_queue_size,
        )


class _DynamicBatching(_Table):
    preferred_batch_size: list[PositiveInt] | None = None
    max_queue_delay_microseconds: NonNegativeInt | None = None
    priority_levels: NonNegativeInt | None = None
    default_priority_level: PositiveInt | None = None
    preserve_ordering: Literal[False] = False
    """Answers of a stream carry the ids of their requests, and each comes as soon as it is there."""
    default_queue_policy: _QueuePolicy = _QueuePolicy()
    priority_queue_policy: dict[str, _QueuePolicy] = {}

    def over(self, before: BatchRules) -> BatchRules:
        sizes = self.preferred_batch_size
        policy = self.default_queue_policy.over(before.default_queue_policy)
        levels = {
            _level(level): table.over(policy) for level, table in self.priority_queue_policy.items()
        }
        return _replaced(
            before,
            preferred_batch_size=None if sizes is None else tuple(sizes),
            max_queue_delay_us=self.max_queue_delay_microseconds,
            priority_levels=self.priority_levels,
            default_priority_level=self.default_priority_level,
            default_queue_policy=policy,
            priority_queue_policy={**before.priority_queue_policy, **levels},
        )


class _Model(_Table):
    max_batch_size: PositiveInt | None = None
    dynamic_batching: _DynamicBatching = _DynamicBatching()

    def over(self, before: BatchRules) -> BatchRules:
        batching = self.dynamic_batching
        if self.max_batch_size is not None:
            fitting = [size for size in before.preferred_batch_size if size <= self.max_batch_size]
            before = replace(
                before, max_batch_size=self.max_batch_size, preferred_batch_size=tuple(fitting)
            )
        return batching.over(before)


class _File(_Model):
    cuts: dict[str, _Model] = {}


def rules_by_cut(bundle: Bundle, default: BatchRules) -> Mapping[str, BatchRules]:
    """Return how the tail of each cut is batched: as the bundle's file says, else by `default`.

    Raises BundleError, which names the file, for one that is damaged or does not fit the bundle.
    """
    path = bundle.path / SERVING_FILE
    cuts = [cut for cut in bundle.cuts if cut != EDGE]
    try:
        found = _File.model_validate(_read(path))
        if unknown := [cut for cut in found.cuts if cut not in cuts]:
            raise UsageError(f"it names the cut {unknown[0]!r}; this bundle has {', '.join(cuts)}")
        common = found.over(default)
        return {cut: found.cuts.get(cut, _Model()).over(common) for cut in cuts}
    except (ValidationError, UsageError, ValueError, OSError) as error:
        said = first_fault(error) if isinstance(error, ValidationError) else reason(error)
        raise BundleError(
            f"{path} cannot be used: {said}. Correct it, or remove it for the server's options."
        ) from error


def _level(written: str) -> int:
    if not written.isdecimal():
        raise UsageError(f"{written!r} is no level: they are numbers, 1 the highest")
    return int(written)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return {}
    if len(data) > _MOST_BYTES:
        raise UsageError(f"it has over {_MOST_BYTES >> 20} MiB")
    return tomllib.loads(data.decode())


def _replaced(before: R, **new: Any) -> R:
    return replace(before, **{name: value for name, value in new.items() if value is not None})
