"""The planner's defaults, stated once; light, so that `--help` can show them."""

DEFAULT_PROVIDER = "CPUExecutionProvider"

DEFAULT_THREADS = 1
"""Intra-op threads: one suits a machine that is shared best."""

DEFAULT_TOLERANCE = 1e-4
"""Of `verify`: the largest difference, relative to an output's largest value."""

DEFAULT_BUDGET_S = 30.0
"""Of `profile`: seconds for one side."""

MAX_CUTS = 48
"""More interior cuts than this cost disk and profiling time, and differ by less than noise does."""

DEFAULT_WINDOW = 4
"""Frames that an edge has at work at once."""

DEFAULT_TIMEOUT_S = 10.0
"""Until the answer to a frame counts as lost."""
