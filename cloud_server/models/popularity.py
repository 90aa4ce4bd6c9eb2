"""How much each tail of a bundle is asked for, and which of them earn sessions of their own."""

from collections import Counter
from collections.abc import Collection

_ASKED_EVERY = 32
"""Uses of a tail between two looks at whether it should be promoted."""
_AHEAD = 2.0
"""By how much more a tail is asked for than the one whose place it takes: loading costs, and a close race
would turn again and again."""
_MEMORY = 2048
"""Uses of all tails after which older ones count half."""


class Popularity:
    """Counts the uses of tails. A use fades: it counts half once some thousand others came after it."""

    def __init__(self) -> None:
        self._uses: Counter[str] = Counter()
        self._since = 0

    def note(self, cut: str) -> bool:
        """Count a use; tell whether it is time to look at this tail's place."""
        self._uses[cut] += 1
        self._since += 1
        if self._since >= _MEMORY:
            self._since = 0
            for each in self._uses:
                self._uses[each] //= 2
        return self._uses[cut] % _ASKED_EVERY == 0

    def makes_way(self, cut: str, favoured: Collection[str]) -> str | None:
        """Return the one of `favoured` whose place `cut` has earned; None where all are asked for enough."""
        least = min(favoured, key=lambda each: self._uses[each], default=None)
        if least is None or self._uses[cut] < _AHEAD * max(1, self._uses[least]):
            return None
        return least
