"""The pace of a source: frames a second, how many, and in a loop or once."""

from dataclasses import dataclass

from partitioner.settings.declaration import Options, option
from partitioner.settings.kinds import SWITCH, count, number
from partitioner.settings.panels import DATA

MIN_FPS, MAX_FPS = 1e-6, 1e6
"""A frame in eleven days; one a microsecond."""


@dataclass(frozen=True)
class Pace(Options):
    """The pace of a source."""

    fps: float | None = option(
        None,
        "Frames a second, at most.",
        number("RATE"),
        panel=DATA,
        shown="as fast as it goes",
        holds=lambda fps: MIN_FPS <= fps <= MAX_FPS,
        wrong="{} frames a second have no meaning. Give more than 0, such as 10, and at most "
        f"{MAX_FPS:g}.",
    )
    loop: bool = option(False, "Start the source again when it ends.", SWITCH, panel=DATA)
    drop: bool = option(
        False,
        "Drop the oldest frames when the window is full, as a camera does.",
        SWITCH,
        panel=DATA,
    )
    max_frames: int | None = option(
        None,
        "Stop after as many frames.",
        count(),
        panel=DATA,
        shown="all",
        holds=lambda frames: frames >= 1,
        wrong="{} frames are none. Give 1 or more.",
    )
