"""Does head + tail equal the whole model? Run both at every cut and look at the worst difference."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import Cut
from partitioner.common.defaults import DEFAULT_TOLERANCE
from partitioner.common.progress import OnProgress, unheard
from partitioner.runtime.sessions import RuntimeOptions
from protos.names import CLOUD
from protos.tensors import Array

_SMALLEST = 1e-6


@dataclass(frozen=True)
class CutCheck:
    """The worst absolute difference of one cut from the whole model, for each output."""

    cut: str
    differences: Mapping[str, float]
    ok: bool

    @property
    def max_abs_diff(self) -> float:
        """The worst of all outputs."""
        return max(self.differences.values())


def verify_bundle(
    bundle: Bundle,
    feeds: Mapping[str, Array],
    options: RuntimeOptions | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    on_progress: OnProgress = unheard,
) -> list[CutCheck]:
    """Compare every cut with the whole model on `feeds`.

    A cut is right if no output differs by more than `tolerance` times its largest value. Raises
    BundleError for a head-only bundle, of which nothing but digests can be checked.
    """
    bundle.need_whole("comparing head + tail with the whole model")
    whole = bundle.open_tail(CLOUD, options).run(feeds)
    checks: list[CutCheck] = []
    for cut in bundle.cuts.values():
        on_progress(cut.id, len(checks), len(bundle.cuts))
        checks.append(_check(bundle, cut, feeds, whole, options, tolerance))
    on_progress("done", len(bundle.cuts), len(bundle.cuts))
    return checks


def _check(
    bundle: Bundle,
    cut: Cut,
    feeds: Mapping[str, Array],
    whole: Mapping[str, Array],
    options: RuntimeOptions | None,
    tolerance: float,
) -> CutCheck:
    head = bundle.open_head(cut.id, options).run(feeds)
    tail = bundle.open_tail(cut.id, options).run(head)
    outputs = {**{name: head[name] for name in cut.head_outputs}, **tail}
    differences = {name: largest_difference(outputs[name], array) for name, array in whole.items()}
    scales = {name: max(_SMALLEST, _largest(array)) for name, array in whole.items()}
    ok = all(gap <= tolerance * scales[name] for name, gap in differences.items())
    return CutCheck(cut.id, differences, ok)


def largest_difference(one: Array, two: Array) -> float:
    """Return the largest absolute difference; infinite if shapes differ or only one is not a number."""
    if one.shape != two.shape or one.dtype != two.dtype:
        return float("inf")
    first, second = one.astype(np.float64), two.astype(np.float64)
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    with np.errstate(invalid="ignore"):
        gaps = np.where(same, 0.0, np.abs(first - second))
    return float(np.max(np.nan_to_num(gaps, nan=np.inf, posinf=np.inf), initial=0.0))


def _largest(array: Array) -> float:
    finite = np.abs(array.astype(np.float64))
    return float(np.max(finite[np.isfinite(finite)], initial=0.0))
