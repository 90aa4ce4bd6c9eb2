"""Does head + tail equal the whole model? Run both at every cut and look at the worst difference."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from partitioner.bundle.bundle import Bundle
from partitioner.bundle.manifest import Cut
from partitioner.common.progress import OnProgress, unheard
from partitioner.graph.roundings import LEAST_TOLERANCE, rounding_tolerance
from partitioner.runtime.sessions import RuntimeOptions, Stage
from protos.errors import BundleError, FaultError
from protos.names import CLOUD
from protos.tensors import Array

_SMALLEST = 1e-6

Feeds = Mapping[str, Array]


@dataclass(frozen=True)
class CutCheck:
    """The worst absolute difference of one cut from the whole model, for each output.

    Where a head or a tail does not run, `failure` says why, and the differences are infinite.
    """

    cut: str
    differences: Mapping[str, float]
    ok: bool
    failure: str = ""

    @property
    def max_abs_diff(self) -> float:
        """The worst of all outputs."""
        return max(self.differences.values())


def verify_bundle(
    bundle: Bundle,
    inputs: Sequence[Feeds],
    options: RuntimeOptions | None = None,
    tolerance: float | None = None,
    on_progress: OnProgress = unheard,
) -> list[CutCheck]:
    """Compare every cut with the whole model on each of `inputs`, its tail as it is and by its segments.

    A cut is right if no output differs by more than `tolerance` times its largest value (None: what
    rounding explains of floats, see `partitioner/graph/roundings.py`, and nothing of whole numbers); one
    that does not run is wrong, and the others are looked at all the same. Raises BundleError or FaultError
    when the whole model does not run, and BundleError for a head-only bundle, of which nothing but digests
    can be checked.
    """
    bundle.need_whole("comparing head + tail with the whole model")
    stage = bundle.open_tail(CLOUD, options)
    wholes = [stage.run(feeds) for feeds in inputs]
    del stage
    checks: list[CutCheck] = []
    segments: dict[str, Stage] = {}
    for cut in bundle.cuts.values():
        on_progress(cut.id, len(checks), len(bundle.cuts))
        try:
            checks.append(
                _check(
                    bundle,
                    cut,
                    list(zip(inputs, wholes, strict=True)),
                    segments,
                    options,
                    tolerance,
                )
            )
        except (BundleError, FaultError) as error:
            gaps = dict.fromkeys(wholes[0], float("inf"))
            checks.append(CutCheck(cut.id, gaps, ok=False, failure=str(error)))
    on_progress("done", len(bundle.cuts), len(bundle.cuts))
    return checks


def _check(
    bundle: Bundle,
    cut: Cut,
    wanted: Sequence[tuple[Feeds, Feeds]],
    segments: dict[str, Stage],
    options: RuntimeOptions | None,
    tolerance: float | None,
) -> CutCheck:
    """Check one cut on inputs and what the whole model makes of each; the head goes before the tail comes.

    `segments` are those that are open already; more are added to them.
    """
    explained = _explained(bundle, cut)
    head = bundle.open_head(cut.id, options)
    crossing = [head.run(feeds) for feeds, _ in wanted]
    del head
    worst: dict[str, float] = {}
    ok = True
    for tail in _tails(bundle, cut.id, segments, options):
        for values, (_, whole) in zip(crossing, wanted, strict=True):
            outputs = {**{name: values[name] for name in cut.head_outputs}, **tail.run(values)}
            for name, array in whole.items():
                gap = largest_difference(outputs[name], array)
                usual = explained if array.dtype.kind == "f" else 0.0
                allowed = usual if tolerance is None else tolerance
                ok = ok and gap <= allowed * max(_SMALLEST, _largest(array))
                worst[name] = max(gap, worst.get(name, 0.0))
    return CutCheck(cut.id, worst, ok)


def _tails(
    bundle: Bundle, cut_id: str, segments: dict[str, Stage], options: RuntimeOptions | None
) -> Iterator[Stage]:
    """Yield the tail as it is, and then as its segments, where the bundle has them."""
    yield bundle.open_tail(cut_id, options)
    if (chain := bundle.open_chain(cut_id, segments, options)) is not None:
        yield chain


def _explained(bundle: Bundle, cut: Cut) -> float:
    """Return the difference that rounding explains; a bundle that keeps no graph is held to float32."""
    if bundle.graph is None:
        return LEAST_TOLERANCE
    own = [spec for spec in bundle.outputs if spec.name in cut.head_outputs]
    return rounding_tolerance(bundle.graph, (*cut.frontier, *own))


def largest_difference(one: Array, two: Array) -> float:
    """Return the largest absolute difference; infinite if shapes differ or only one is not a number."""
    if one.shape != two.shape or one.dtype != two.dtype:
        return float("inf")
    first, second = one.astype(np.float64), two.astype(np.float64)
    same = (one == two) | (np.isnan(first) & np.isnan(second))
    least = 0.0 if one.dtype.kind == "f" else 1.0  # of numbers with more digits than a float64
    with np.errstate(invalid="ignore"):
        gaps = np.where(same, 0.0, np.maximum(np.abs(first - second), least))
    return float(np.max(np.nan_to_num(gaps, nan=np.inf, posinf=np.inf), initial=0.0))


def _largest(array: Array) -> float:
    finite = np.abs(array.astype(np.float64))
    return float(np.max(finite[np.isfinite(finite)], initial=0.0))
