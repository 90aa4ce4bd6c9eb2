"""Arguments that several commands share, described once."""

from pathlib import Path
from typing import Annotated

import typer

from partitioner.cli.flags import choices
from partitioner.common.defaults import DEFAULT_ACCURACY_DROP
from partitioner.settings.panels import CHOICE, DATA, OUTPUT, RUNTIME
from partitioner.terminal.flags import READERS_TELL, flag
from protos.errors import UsageError, plural

BundleArgument = Annotated[
    Path,
    typer.Argument(
        help="The bundle's folder.", metavar="BUNDLE", show_default=False, readable=READERS_TELL
    ),
]
Budget = Annotated[
    str,
    flag(
        "Time for one side, as 30s; at least three runs of every head and tail take longer.",
        "TIME",
        panel=RUNTIME,
    ),
]
OnlyCodec = Annotated[
    str | None,
    flag("Only options with this codec.", "CODEC", panel=CHOICE, choices=choices.codecs),
]
AccuracyDrop = Annotated[
    float | None,
    flag(
        "Only options measured to lose no more percentage points than this: of accuracy where "
        "calibrate had labels, else of agreement with the whole model.",
        "POINTS",
        panel=CHOICE,
        default=f"{DEFAULT_ACCURACY_DROP:g}, and image codecs though unmeasured",
    ),
]
CutList = Annotated[
    str | None,
    flag("These cuts alone, as cut-04,cut-11.", "CUTS", panel=CHOICE, default="all"),
]
DataOption = Annotated[
    Path,
    flag("Inputs like those to come: a folder of images, .npy or .npz.", "INPUTS", panel=DATA),
]
LabelsOption = Annotated[
    Path | None,
    flag(
        "A CSV of file,label.",
        "LABELS.csv",
        panel=DATA,
        default="the whole model's answers are what counts",
    ),
]
MaxSamples = Annotated[int, flag("Use at most this many inputs.", "N", panel=DATA, min=1)]
Force = Annotated[
    bool,
    flag(
        "Replace the bundle if it exists, and what was found of the old one with it.",
        None,
        "--force",
        panel=OUTPUT,
    ),
]


def split_cuts(text: str | None) -> tuple[str, ...]:
    """Return the cuts in a list as people write it, once each; none without one."""
    parts = (part.strip() for part in (text or "").split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


def check_most_samples(most: int, least: int, what: str) -> None:
    """Raise UsageError where `max_samples` allows fewer inputs than what is done with them needs."""
    if most < least:
        raise UsageError(
            f"`max_samples` {most} is too few to {what}, which takes at least {plural(least, 'input')}. "
            "Give that or more, or leave it out."
        )
