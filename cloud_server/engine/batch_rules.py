"""Rules by which the requests of a model wait and are computed together; the words are Triton's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from cloud_server.batching_options import BatchingOptions
from protos.errors import UsageError, plural


class TimeoutAction(StrEnum):
    """What becomes of a request that has waited for longer than its timeout."""

    REJECT = "reject"
    """It is refused."""
    DELAY = "delay"
    """It goes behind all of its priority that are not late."""


@dataclass(frozen=True)
class QueuePolicy:
    """How long requests may wait, and how many; 0 is no limit.

    With `allow_timeout_override`, a request may name a shorter timeout of its own, and never a longer one.
    """

    timeout_action: TimeoutAction = TimeoutAction.REJECT
    default_timeout_us: int = 0
    allow_timeout_override: bool = True
    max_queue_size: int = 0

    def timeout_us(self, asked_us: int) -> int:
        """Return after how many microseconds a request that asks for `asked_us` is late; 0: never."""
        if asked_us <= 0 or not self.allow_timeout_override:
            return self.default_timeout_us
        return min(asked_us, self.default_timeout_us or asked_us)


@dataclass(frozen=True)
class BatchRules:
    """How the requests of one model are batched.

    `max_batch_size`: rows that are computed together, 1: each request alone. A batch of a size in
    `preferred_batch_size` does not wait for more; others wait until their first request has waited for
    `max_queue_delay_us`. Of `priority_levels`, 1 is the highest; 0: there are none.
    """

    max_batch_size: int = 1
    preferred_batch_size: tuple[int, ...] = ()
    max_queue_delay_us: int = 0
    priority_levels: int = 0
    default_priority_level: int = 0
    default_queue_policy: QueuePolicy = QueuePolicy()
    priority_queue_policy: Mapping[int, QueuePolicy] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise UsageError for numbers that do not go together."""
        if self.default_priority_level > self.priority_levels:
            raise UsageError(
                f"there is no `default_priority_level` {self.default_priority_level}: "
                f"{plural(self.priority_levels, 'level')} were given as `priority_levels`. Give more levels, "
                "or a lower default."
            )
        if any(size > self.max_batch_size for size in self.preferred_batch_size):
            raise UsageError(
                f"a `preferred_batch_size` of {max(self.preferred_batch_size)} is over the "
                f"`max_batch_size` of {self.max_batch_size}. Give smaller sizes, or larger batches."
            )

    @classmethod
    def of(cls, options: BatchingOptions) -> Self:
        """Return what a server was told by its options. Raises UsageError."""
        return cls(
            options.max_batch_size,
            tuple(options.preferred_batch_size),
            options.max_queue_delay_us,
            options.priority_levels,
            options.default_priority_level,
            QueuePolicy(
                TimeoutAction(options.timeout_action),
                options.default_timeout_us,
                options.allow_timeout_override,
                options.max_queue_size,
            ),
        )

    def level(self, asked: int) -> int:
        """Return the level of a request that asks for one; one that there is not is the default."""
        if 1 <= asked <= self.priority_levels:
            return asked
        return self.default_priority_level or max(1, self.priority_levels)

    def policy(self, level: int) -> QueuePolicy:
        """Return how requests of a level wait."""
        return self.priority_queue_policy.get(level, self.default_queue_policy)


ALONE = BatchRules()
"""Every request is computed alone, in the order of arrival."""
