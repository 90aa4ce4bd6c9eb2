"""Ticks that can be read: as many labels on a logarithmic axis as it has room for."""

import math
from collections.abc import Sequence
from typing import Any

_FEW_DECADES = 2.5
"""On more than these the tens alone are labelled, on fewer 1, 2 and 5 as well."""
_LEAST_RATIO = 5.0
"""Below it a logarithmic axis might have only one label, and shows little that a linear one does not."""


def scale_axis(axes: Any, name: str, values: Sequence[float]) -> None:
    """Make the axis `x` or `y` logarithmic where the values need it; a 0 stands below the least of them."""
    above = [value for value in values if value > 0]
    if not above or max(above) < _LEAST_RATIO * min(above):
        return
    axis = getattr(axes, f"{name}axis")
    if min(values) > 0:
        getattr(axes, f"set_{name}scale")("log")
        label_decades(axis, min(above), max(above))
    else:
        getattr(axes, f"set_{name}scale")("symlog", linthresh=min(above))
        axis.set_major_formatter("{x:g}")


def label_decades(axis: Any, low: float, high: float) -> None:
    """Label a logarithmic axis at 1, 2, 5, 10 …, or at the tens, so that no two labels touch."""
    from matplotlib.ticker import LogLocator, NullFormatter

    few = math.log10(high / low) <= _FEW_DECADES
    axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5) if few else (1,), numticks=12))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())
