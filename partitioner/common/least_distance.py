"""The least squares under an order, in plain numpy.

Isotonic regression over a partial order is of that kind: x_i <= x_j wherever i comes before j. The usual
algorithm (pool adjacent violators) knows chains only; this one takes any order, a tolerance on it, and
equations between the values beside what each was measured as.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_SMALL = 1e-10
"""As a share: gradients and coefficients below this are rounding."""


def nearest_ordered(
    rows: Floats,
    targets: Floats,
    pairs: list[tuple[int, int]],
    tolerances: Floats | None = None,
) -> Floats:
    """Return x with the least |rows · x - targets|², and x[i] <= x[j] + tolerance for all `pairs`.

    `rows`: m x n, of full column rank. Tolerances are 0 if not given, and may not be negative, so that there
    always is such a point. It is found exactly, as the dual of least distance programming (Lawson and
    Hanson, Solving Least Squares Problems, 1974, chapter 23.4).
    """
    turned, upper = np.linalg.qr(rows)
    free = np.asarray(np.linalg.solve(upper, turned.T @ targets))
    if not pairs:
        return free
    numbers, (below, above) = np.arange(len(pairs)), np.array(pairs).T
    order = np.zeros((len(pairs), len(free)))
    order[numbers, above] += 1
    order[numbers, below] -= 1
    allowed = np.zeros(len(pairs)) if tolerances is None else tolerances
    # With x = free + upper⁻¹ · z: the least |z| with order · upper⁻¹ · z >= -allowed - order · free.
    least = -allowed - order @ free
    if least.max() <= 0:
        return free
    inverse = np.linalg.inv(upper)
    slopes = order @ inverse
    unit, steepest = float(np.abs(least).max()), float(np.abs(slopes).max())
    matrix = np.vstack([slopes.T / steepest, least / unit])
    target = np.zeros(len(free) + 1)
    target[-1] = 1.0
    residual = matrix @ nonnegative_least_squares(matrix, target) - target
    return np.asarray(free - inverse @ (residual[:-1] / residual[-1]) * unit / steepest)


def nonnegative_least_squares(matrix: Floats, target: Floats) -> Floats:
    """Return the x >= 0 with the least |matrix · x - target| (Lawson and Hanson, 1974, chapter 23.3).

    By the squares of the matrix, which saves most of the time (Bro and de Jong, J. Chemometrics, 1997).
    """
    count, gram, moment = matrix.shape[1], matrix.T @ matrix, matrix.T @ target
    found, free = np.zeros(count), np.zeros(count, bool)
    limit = _SMALL * max(1.0, float(np.abs(moment).max(initial=0.0)))
    for _ in range(10 * count):
        gradient = np.where(free, -np.inf, moment - gram @ found)
        best = int(np.argmax(gradient))
        if gradient[best] <= limit:
            break
        free[best] = True
        while free.any():
            wanted = np.zeros(count)
            wanted[free] = np.linalg.solve(gram[np.ix_(free, free)], moment[free])
            sinking = free & (wanted <= 0)
            if not sinking.any():
                found = wanted
                break
            step = np.min(found[sinking] / (found[sinking] - wanted[sinking]))
            found += step * (wanted - found)
            free &= found > _SMALL * found.max(initial=0.0)
            found[~free] = 0.0
    # The squares of the matrix tell which are free, but half of the digits of what they are.
    found[free] = np.maximum(np.linalg.lstsq(matrix[:, free], target, rcond=None)[0], 0.0)
    return found
