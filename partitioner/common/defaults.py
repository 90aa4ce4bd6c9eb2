"""The planner's defaults, stated once; light, so that `--help` can show them."""

from typing import Literal

ExitThreshold = float | Literal["auto", "own"] | None
"""Confidence from which an exit answers early: `own` is each exit's own; `auto` that too, but
within a latency or a deadline the highest at which frames are expected in time; None: none does."""

DEFAULT_PROVIDER = "CPUExecutionProvider"

DEFAULT_THREADS = 1
"""Intra-op threads: one suits a machine that is shared best."""

MAX_THREADS = 1024
"""More than any machine has cores; the runtime would try to start them all."""

DEFAULT_BUDGET_S = 30.0
"""Of `profile`: seconds for one side."""

DEFAULT_CALIBRATION_SAMPLES = 1024
"""Of `calibrate`: held in memory, and run through every cut with every codec."""

DEFAULT_EXIT_SAMPLES = 10_000
"""Of `exits`: read again for every cut, and not held in memory."""

DEFAULT_AGREEMENT = 0.99
"""Share of the frames that exit which shall get the whole model's class."""

DEFAULT_EPOCHS = 30

HELD_OUT_PART = 5
"""Of `exits train` without --held-out: one in so many of its inputs judges, and is not trained on."""

DEFAULT_ACCURACY_DROP = 1.0
"""Points that an option may be seen to lose before a plan leaves it out, unless another bound is given."""

MAX_CUTS = 48
"""More interior cuts than this cost disk and profiling time, and differ by less than noise does."""

DEFAULT_WINDOW = 4
"""Frames that an edge has at work at once."""

DEFAULT_TIMEOUT_S = 10.0
"""Until the answer to a frame counts as lost."""

EXPORT_BACKEND = "onnxruntime"
EXPORT_BATCH_SIZE = 8
"""Rows of several requests that an exported model computes together."""
