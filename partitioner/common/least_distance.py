"""The point nearest to another that keeps to linear inequalities, in plain numpy.

Isotonic regression over a partial order is such a point: x_i <= x_j wherever i comes before j. The usual
algorithm (pool adjacent violators) knows chains only; this one takes any order, and a tolerance on it.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_SMALL = 1e-10
"""As a share: gradients and coefficients below this are rounding."""


def nearest_ordered(
    values: Floats,
    weights: Floats,
    pairs: list[tuple[int, int]],
    tolerances: Floats | None = None,
) -> Floats:
    """Return x with the least sum of weights · (x - values)², and x[i] <= x[j] + tolerance for all `pairs`.

    Tolerances are 0 if not given, and may not be negative, so that there always is such a point. It is
    found exactly, as the dual of least distance programming (Lawson and Hanson, Solving Least Squares
    Problems, 1974, chapter 23.4).
    """
    if not pairs or not len(values):
        return values.copy()
    scale = 1 / np.sqrt(weights)
    rows, (below, above) = np.arange(len(pairs)), np.array(pairs).T
    order = np.zeros((len(pairs), len(values)))
    order[rows, above] += 1
    order[rows, below] -= 1
    allowed = np.zeros(len(pairs)) if tolerances is None else tolerances
    # With x = values + scale · z: the least |z| with order · scale · z >= -allowed - order · values.
    least = -allowed - order @ values
    if least.max() <= 0:
        return values.copy()
    unit = max(float(np.abs(least).max()), 1e-300)
    matrix = np.vstack([(order * scale).T / scale.max(), least / unit])
    target = np.zeros(len(values) + 1)
    target[-1] = 1.0
    residual = matrix @ nonnegative_least_squares(matrix, target) - target
    moved = -residual[:-1] / residual[-1] * unit / scale.max()
    return np.asarray(values + scale * moved)


def nonnegative_least_squares(matrix: Floats, target: Floats) -> Floats:
    """Return the x >= 0 with the least |matrix · x - target| (Lawson and Hanson, 1974, chapter 23.3)."""
    count = matrix.shape[1]
    found, free = np.zeros(count), np.zeros(count, bool)
    limit = _SMALL * max(1.0, float(np.abs(matrix.T @ target).max(initial=0.0)))
    for _ in range(10 * count):
        gradient = np.where(free, -np.inf, matrix.T @ (target - matrix @ found))
        best = int(np.argmax(gradient))
        if gradient[best] <= limit:
            break
        free[best] = True
        while free.any():
            wanted = np.zeros(count)
            wanted[free] = np.linalg.lstsq(matrix[:, free], target, rcond=None)[0]
            sinking = free & (wanted <= 0)
            if not sinking.any():
                found = wanted
                break
            step = np.min(found[sinking] / (found[sinking] - wanted[sinking]))
            found += step * (wanted - found)
            free &= found > _SMALL * found.max(initial=0.0)
            found[~free] = 0.0
    return found
