"""Hedged frames: when an answer is so late that the idle device begins to finish the frame itself, too.

Whichever comes first is the result (hedged requests: Dean and Barroso, The Tail at Scale, CACM 2013). There
the hedge waits for a percentile; here it waits for the moment from which the device is as likely to be
first as the cloud, as a local run asks no one else for anything. The running edge and the simulator call
the same.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from partitioner.common.units import format_duration, parse_duration
from partitioner.planning.option import Option
from partitioner.policy.conditions import Conditions
from protos.errors import UsageError

Seconds = TypeVar("Seconds", float, npt.NDArray[np.float64])
Later = Callable[[float], float]
"""The chance that an answer takes longer than so many seconds from when its message was handed over."""

OVERDUE = 2.0
"""An exit's answer, and a tail that is not open, count as taking so many expected answers."""
LATEST_S = 60.0
"""Hedges that would begin later than this after the message was handed over never do."""
_USUAL = 0.5
"""Of the share, so much is for answers that are late in the link's usual ways. The rest is for outages, which
come when it may be used up otherwise."""
_SURELY = 1e-6
"""An answer is there where the chance that it is not is less than this."""
_STEP, _GROWTH = 1 / 8, 0.1
"""The search goes on by this share of the local run, and by this share of the time so far."""
_SOONEST_S = 1e-3
_HALVINGS = 8


@dataclass(frozen=True, slots=True)
class Hedging:
    """When frames are hedged, and how many. Raises UsageError for what cannot be.

    Of any `over` frames in a row that go to the cloud at most `most_share` are hedged, and of the first n
    at most that share, but for the first `burst`.
    """

    after: float | Literal["auto", "off"] = "auto"
    """Seconds from when the message is handed over; `auto`: by `hedge_after_s`; `off`: never."""
    most_share: float = 0.2
    over: int = 100
    burst: int = 10

    def __post_init__(self) -> None:
        if not isinstance(self.after, str) and not self.after >= 0:
            raise UsageError(
                f"a hedge {format_duration(self.after)} after the message left cannot be begun. "
                "Give auto, off, or 0 or more."
            )
        if not 0 <= self.most_share <= 1:
            raise UsageError(f"a share of {self.most_share:g} of frames is none. Give 0 to 1.")

    @classmethod
    def of(cls, after: str | float) -> "Hedging":
        """Return the settings for `auto`, `off`, seconds, or a time as text, such as `80ms`."""
        if after == "auto" or after == "off":
            return cls(after)  # type: ignore[arg-type]  # it is one of the two
        if not isinstance(after, str):
            return cls(after)
        try:
            return cls(parse_duration(after))
        except UsageError as error:
            raise UsageError(
                f"a hedge of {after!r} is none. Give auto, off, or a time such as 80ms."
            ) from error

    def after_s(
        self, later: Later | None, finish_s: float, usual: Later | None = None
    ) -> float | None:
        """Return when to begin the hedge of a frame that takes `finish_s` here from then on; None: never.

        `later`: None where nothing is known of how long answers take, so that `auto` has nothing to go by.
        `usual`: the same for a frame that waits for no other, by which an answer is late; None: as `later`.
        """
        if not isinstance(self.after, str):
            return self.after
        if self.after == "off" or later is None:
            return None
        late_s = late_after_s(usual or later, _USUAL * self.most_share)
        return hedge_after_s(later, finish_s, from_s=late_s)


class HedgeBudget:
    """Counts frames and their hedges, so that no more are hedged than the settings allow."""

    def __init__(self, hedging: Hedging) -> None:
        self._hedging = hedging
        self._frames = 0
        self._hedged: deque[int] = deque()

    def frame(self) -> None:
        """Count a frame that goes to the cloud."""
        self._frames += 1
        while self._hedged and self._hedged[0] <= self._frames - self._hedging.over:
            self._hedged.popleft()

    def take(self) -> bool:
        """Tell whether another frame may be hedged now, and count it if so."""
        counted = min(self._frames, self._hedging.over)
        if len(self._hedged) >= max(self._most_at_first, int(self._hedging.most_share * counted)):
            return False
        self._hedged.append(self._frames)
        return True

    @property
    def _most_at_first(self) -> int:
        return min(self._hedging.burst, int(self._hedging.most_share * self._hedging.over))


def overdue_s(expected_s: Seconds) -> Seconds:
    """Return what to count finishing here as, where that is an exit's answer, or a tail not opened yet.

    An exit takes no time and is worse: by its seconds alone it would be taken at once. So the frame is hedged
    once the answer is as likely as not to take another two whole answers.
    """
    return OVERDUE * expected_s


def hedge_after_s(
    later: Later, finish_s: float, latest_s: float = LATEST_S, *, from_s: float = 0.0
) -> float | None:
    """Return the first moment from which a run of `finish_s` here is as likely to be first as the answer.

    That is the least t with later(t + finish_s) >= later(t) / 2: given that the answer has not come by t,
    the median of what it still takes is `finish_s`. 0 where that is so at once; None where it never is, up
    to `latest_s`. `later` falls from 1, by slopes and plateaus. A plateau that is a quarter longer than
    `finish_s` is never stepped over while t is at most that; later ones may not be shorter than a tenth of t.
    Moments before `from_s` are left out.
    """
    before_s = at_s = from_s

    def even(at_s: float) -> bool:
        return later(at_s + finish_s) >= 0.5 * later(at_s)

    while not even(at_s):
        before_s, at_s = at_s, at_s * (1 + _GROWTH) + max(_STEP * finish_s, _SOONEST_S)
        if at_s >= latest_s:
            return None
    return _first(even, before_s, at_s) if later(at_s) > _SURELY else None


def late_after_s(later: Later, share: float, latest_s: float = LATEST_S) -> float:
    """Return when all but this share have come of the answers that come at all, by `latest_s`."""
    never = later(latest_s)
    chance = never + share * (1 - never)
    if later(0.0) <= chance:
        return 0.0
    before_s, at_s = 0.0, _SOONEST_S
    while later(at_s) > chance and at_s < latest_s:
        before_s, at_s = at_s, 2 * at_s
    return _first(lambda at_s: later(at_s) <= chance, before_s, at_s)


def _first(holds: Callable[[float], bool], before_s: float, at_s: float) -> float:
    """Return where `holds` becomes true between the two, to a share of 1 / 2⁸ of their distance."""
    if before_s == at_s:
        return at_s
    for _ in range(_HALVINGS):
        middle_s = (before_s + at_s) / 2
        if holds(middle_s):
            at_s = middle_s
        else:
            before_s = middle_s
    return at_s


def expected_answer_s(option: Option, seen: Conditions, ahead_bytes: float = 0.0) -> float:
    """Return what the answer to a frame of an option is expected to take, from handing it over."""
    network_s = seen.link.link.predict_s(option.upload_bytes + ahead_bytes, option.download_bytes)
    return network_s + seen.cloud_queue_s + option.cloud_s * seen.cloud_load


def usually_later(option: Option, seen: Conditions, more_bytes: float = 0.0) -> Later:
    """Return the same for a message that waits for no other, while the link is up: by this an answer is late.

    In an outage all answers are expected to be late, and would be waited for.
    """
    return answer_later(option, replace(seen, link=seen.link.when_up()), more_bytes)


def answer_later(option: Option, seen: Conditions, ahead_bytes: float = 0.0) -> Later:
    """Return how likely the answer to a frame of an option is to take longer than so many seconds.

    `ahead_bytes`: of earlier messages that are still on the uplink, behind which this one waits.
    """
    server_s = seen.cloud_queue_s + option.cloud_s * seen.cloud_load
    upload_bytes, download_bytes = option.upload_bytes + ahead_bytes, option.download_bytes
    chance_later = seen.link.chance_later

    def later(seconds: float) -> float:
        return chance_later(upload_bytes, download_bytes, seconds - server_s)

    return later
