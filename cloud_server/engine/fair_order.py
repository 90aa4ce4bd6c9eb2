"""The order in which callers who share the workers take turns: start-time fair queueing."""

_MOST_KEPT = 1024
"""Callers, before those that are owed nothing are forgotten."""


class FairOrder:
    """Gives each piece of work a place, so that callers who all have work waiting get equal shares.

    A place is the virtual time at which the work would begin if every caller had a share of its own (Goyal,
    Vin and Cheng, SIGCOMM 1996). Whoever asks for more than the share waits behind itself, and who was idle
    is owed nothing. In any span in which two callers have work waiting, what they get differs by no more than
    the largest piece of each. Costs are in any one unit, and above 0.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._ends: dict[str, float] = {}

    def place(self, caller: str, cost: float) -> float:
        """Return the place of a new piece of work; the least goes first."""
        begins = max(self._now, self._ends.get(caller, 0.0))
        self._ends[caller] = begins + cost
        if len(self._ends) > _MOST_KEPT:
            self._ends = {name: end for name, end in self._ends.items() if end > self._now}
        return begins

    def serve(self, place: float) -> None:
        """Note that the work in this place begins."""
        self._now = max(self._now, place)

    def rest(self) -> None:
        """Note that nobody has work waiting: all start alike again."""
        self._now = 0.0
        self._ends.clear()
