"""The defaults of the edge, stated once; light, so that `--help` can show them."""

from typing import Literal

OnFailure = Literal["finish", "fail"]

CUT = "auto"
LINK = "measure"
WINDOW = 4
TIMEOUT_S = 10.0
ON_FAILURE: OnFailure = "finish"
THREADS = 1
