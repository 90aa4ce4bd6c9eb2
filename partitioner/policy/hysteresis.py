"""Hysteresis: what stops the cut from flapping between options that are about as good.

What staying costs beyond a threshold is summed up frame after frame, and the cut moves once that comes to a
share of a frame: a CUSUM (E. Page, "Continuous inspection schemes", Biometrika 41, 1954). So large gains
move at once, small ones have to last, and one that comes and goes moves nothing.
"""

from dataclasses import dataclass

_SCATTERS = 4.0
"""Frames for which what is estimated of one lasts, so that its chance counts as often."""

_SURE = 2.0
"""Times what frames scatter by chance: a gain that is larger is none of chance."""


@dataclass(frozen=True, slots=True)
class Hysteresis:
    """How much better another option must be, and for how long, before the cut moves."""

    gain: float = 0.05
    gain_s: float = 0.001
    """Another option must be better by this share, and by this much of what counts in seconds."""
    patience: float = 0.1
    """What staying has cost beyond that must come to this share of a frame."""
    dwell_s: float = 0.0
    """After a move nothing but a failure moves again for so long."""

    def least(self, staying: float, second: float) -> float:
        """Return what another option must gain; see `weigh`."""
        return max(self.gain * staying, self.gain_s * second)

    def weigh(
        self,
        staying: float,
        best: float,
        *,
        second: float,
        owed: float,
        settled_s: float,
        reluctance: float = 1.0,
        chance: float = 0.0,
        settles: bool = False,
    ) -> tuple[float, bool]:
        """Return what staying has cost by now, and whether a move is worth it.

        `staying` and `best` are scores of the current option and of the best one, `second` is what a
        second counts in them. `owed` is what staying had cost before, since the last move `settled_s` ago.
        Moves that brought nothing lately make what is asked for so many times (`reluctance`) as much, and
        where frames scatter around what is expected of them, by so much (`chance`), patience grows with it,
        twice as much while a new option `settles`.
        """
        least = reluctance * self.least(staying, second)
        gain = staying - best
        owed = max(0.0, owed + gain - least)
        if gain <= least or settled_s < self.dwell_s:
            return owed, False
        scatters = 0.0 if gain > _SURE * chance else 2 * _SCATTERS if settles else _SCATTERS
        beyond = scatters * max(0.0, chance - self.gain * staying)
        return owed, owed > reluctance * (self.patience * staying + beyond)
